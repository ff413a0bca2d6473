// Asks the node facerot for views of the faces in its latest frame.
//
//   ros2 run facerot_cpp_client rotate_face_client -30 0 30
//   ros2 run facerot_cpp_client rotate_face_client 45 --ros-args -r facerot/rotate_face:=/robot1/facerot/rotate_face

#include <chrono>
#include <exception>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "rclcpp/rclcpp.hpp"

#include "views.hpp"

using facerot_cpp_client::RotateFace;
using std::chrono_literals::operator""s;

namespace
{

constexpr auto kDiscoveryTime = 10s;
constexpr auto kAnswerTime = 30s;

std::vector<double> yaws_from(const std::vector<std::string> & arguments)
{
  std::vector<double> yaws_deg;
  for (std::size_t k = 1; k < arguments.size(); ++k) {
    yaws_deg.push_back(std::stod(arguments[k]));
  }
  return yaws_deg;
}

// Returns the exit status: 0, 1 if the node refuses, 2 if it is not there or gives no answer.
int rotate(const rclcpp::Node::SharedPtr & node, const std::vector<double> & yaws_deg)
{
  const auto client = node->create_client<RotateFace>("facerot/rotate_face");
  if (!client->wait_for_service(kDiscoveryTime)) {
    RCLCPP_ERROR(node->get_logger(), "no service %s: is facerot running?", client->get_service_name());
    return 2;
  }

  // A node with work of its own would pass a callback here, which gets the future once it is ready,
  // and go on spinning. Waiting for the future inside a callback would wait for ever in a
  // single-threaded executor.
  auto answer = client->async_send_request(facerot_cpp_client::make_request(yaws_deg));
  const auto outcome = rclcpp::spin_until_future_complete(node, answer.future, kAnswerTime);
  if (outcome != rclcpp::FutureReturnCode::SUCCESS) {
    client->remove_pending_request(answer.request_id);  // or it is kept for as long as the client
    RCLCPP_ERROR(node->get_logger(), "no answer from %s", client->get_service_name());
    return 2;
  }

  const auto response = answer.future.get();
  if (!response->success) {
    RCLCPP_ERROR(
      node->get_logger(), "error %u: %s", unsigned{response->error_code},
      response->message.c_str());
    if (response->error_code == RotateFace::Response::BUSY) {
      RCLCPP_INFO(node->get_logger(), "too many requests at once: ask again later");
    }
    return 1;
  }
  for (const auto & face : response->faces) {
    facerot_cpp_client::print(std::cout, face);
  }
  return 0;
}

}  // namespace

int main(int argc, char ** argv)
{
  const auto arguments = rclcpp::init_and_remove_ros_arguments(argc, argv);
  int status = 3;
  try {
    status = rotate(std::make_shared<rclcpp::Node>("rotate_face_client"), yaws_from(arguments));
  } catch (const std::exception & error) {  // an argument that is no number, for example
    std::cerr << "rotate_face_client: " << error.what() << '\n';
  }
  rclcpp::shutdown();
  return status;
}
