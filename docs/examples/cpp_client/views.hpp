// What a client of ~/rotate_face writes into its request and reads from the answer.

#ifndef VIEWS_HPP_
#define VIEWS_HPP_

#include <cmath>
#include <iomanip>
#include <ostream>
#include <vector>

#include "opendr_facerot_interfaces/msg/rotated_face_array.hpp"
#include "opendr_facerot_interfaces/srv/rotate_face.hpp"

namespace facerot_cpp_client
{

using opendr_facerot_interfaces::msg::RotatedFaceArray;
using opendr_facerot_interfaces::srv::RotateFace;

constexpr double kRadiansPerDegree = 0.017453292519943295;

/// Asks for the faces of the node's latest frame, each turned to the given yaws at pitch 0.
/// To have a photo of your own turned, set the request's image too.
inline RotateFace::Request::SharedPtr make_request(const std::vector<double> & yaws_deg)
{
  auto request = std::make_shared<RotateFace::Request>();
  for (const double yaw_deg : yaws_deg) {
    request->yaw.push_back(static_cast<float>(yaw_deg * kRadiansPerDegree));
  }
  request->pitch = {0.0F};
  return request;
}

/// Prints a line for the face and one for each of its views.
inline void print(std::ostream & out, const RotatedFaceArray & face)
{
  out << std::fixed << std::setprecision(1);
  out << face.face_id << ": score " << face.detection_score << ", in the photo at yaw "
      << face.source_yaw / kRadiansPerDegree << " deg, pitch "
      << face.source_pitch / kRadiansPerDegree << " deg\n";
  for (const auto & view : face.views) {
    // view.image.data has view.image.height rows of view.image.step bytes each.
    out << "  yaw " << view.applied_yaw / kRadiansPerDegree << " deg, pitch "
        << view.applied_pitch / kRadiansPerDegree << " deg: " << view.image.width << "x"
        << view.image.height << " " << view.image.encoding << ", "
        << std::lround(100.0F * view.seen_fraction) << " % of the head seen in the photo\n";
  }
}

}  // namespace facerot_cpp_client

#endif  // VIEWS_HPP_
