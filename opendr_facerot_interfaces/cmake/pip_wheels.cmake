# Makes the ROS 2 wheels of the Python in use visible to CMake. With ROS 2 sourced, AMENT_PREFIX_PATH
# is set and nothing here has any effect.

if(NOT DEFINED ENV{AMENT_PREFIX_PATH})
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  # A wheel unpacks share/ and lib/ into the prefix that its Python modules lie in: four levels above
  # <prefix>/lib/pythonX.Y/site-packages/rosidl_adapter. sys.prefix will not do, as pip's isolated
  # builds run the Python of one prefix with the modules of another.
  execute_process(
    COMMAND "${Python3_EXECUTABLE}" -c
      "import pathlib, rosidl_adapter; print(pathlib.Path(rosidl_adapter.__file__).resolve().parents[4].as_posix())"
    OUTPUT_VARIABLE ros_wheels_prefix
    OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE ros_wheels_missing
    ERROR_QUIET
  )
  if(ros_wheels_missing)
    message(FATAL_ERROR
      "Neither a sourced ROS 2 (AMENT_PREFIX_PATH is not set) nor the ROS 2 wheels of "
      "${Python3_EXECUTABLE}: source /opt/ros/<distro>/setup.bash, or build with pip")
  endif()
  message(STATUS "Using the ROS 2 wheels in ${ros_wheels_prefix}")
  set(ENV{AMENT_PREFIX_PATH} "${ros_wheels_prefix}")
  list(PREPEND CMAKE_PREFIX_PATH "${ros_wheels_prefix}")
endif()

# The wheels' CMake targets name include directories of the machine that they were built on, and CMake
# refuses imported targets whose include directories do not exist. Deferred, because the targets come
# into being in find_package() calls still to be made.
function(drop_build_machine_includes)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(includes ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(includes MATCHES "/opt/python/")
      list(FILTER includes EXCLUDE REGEX "^/opt/python/")
      set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${includes}")
    endif()
  endforeach()
endfunction()
cmake_language(DEFER CALL drop_build_machine_includes)
