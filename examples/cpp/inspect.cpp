// Finds defects in an image that OpenCV has read, and draws them.
//
//   g++ -std=c++17 inspect.cpp $(pkg-config --cflags --libs uflow opencv4) -o inspect
//   ./inspect bracket.uflow part.png overlay.png
//
// The library reads the cv::Mat's own memory, also rows with gaps; nothing is converted or copied. Exit code: 0 good, 3 anomalous,
// 1 something failed.
#include <exception>
#include <iostream>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <stdexcept>
#include <uflow.hpp>
#include <vector>

namespace {

uflow_image lend(const cv::Mat& picture) {
  std::uint32_t format = UFLOW_FORMAT_UNKNOWN;
  switch (picture.type()) {
    case CV_8UC1: format = UFLOW_FORMAT_GRAY8; break;
    case CV_16UC1: format = UFLOW_FORMAT_GRAY16; break;
    case CV_8UC3: format = UFLOW_FORMAT_BGR8; break;
    case CV_8UC4: format = UFLOW_FORMAT_BGRA8; break;
    default: throw std::runtime_error("pictures have 8 or 16 bits, and 1, 3 or 4 channels");
  }
  const std::size_t size = static_cast<std::size_t>(picture.dataend - picture.data);
  return uflow::image(picture.data, size, static_cast<std::uint32_t>(picture.cols),
                      static_cast<std::uint32_t>(picture.rows), format, picture.step[0]);
}

void paint(cv::Mat& overlay, const uflow::result& result) {
  const uflow_summary summary = result.summary();
  for (std::uint32_t i = 0; i < summary.regions; i++) {
    const uflow_region region = result.region(i);
    for (std::uint32_t ring = 0; ring < region.rings; ring++) {
      std::vector<cv::Point> corners;
      for (const uflow_point& point : result.outline(i, ring)) {
        corners.emplace_back(static_cast<int>(point.x), static_cast<int>(point.y));
      }
      cv::polylines(overlay, corners, true, cv::Scalar(0, 0, 255), 2, cv::LINE_AA);
    }
    std::cout << "  " << region.width << "x" << region.height << " at (" << region.x << ", " << region.y << "), "
              << region.area << " pixels\n";
  }
}

int inspect(const std::string& package, const std::string& source, const std::string& target) {
  const uflow::engine engine = uflow::engine::create();
  const uflow::model model = engine.load(package);
  uflow::detector detector = uflow::detector::create(model);

  const cv::Mat picture = cv::imread(source, cv::IMREAD_UNCHANGED);
  if (picture.empty()) {
    throw std::runtime_error(source + ": cannot be read");
  }
  const uflow::result result = detector.detect(lend(picture));
  const uflow_summary summary = result.summary();
  std::cout << (summary.anomalous ? "ANOMALOUS" : "good") << " score " << summary.score << "\n";

  cv::Mat overlay;
  if (picture.channels() == 1) {
    picture.convertTo(overlay, CV_8U, picture.depth() == CV_16U ? 1.0 / 257 : 1.0);
    cv::cvtColor(overlay, overlay, cv::COLOR_GRAY2BGR);
  } else if (picture.channels() == 4) {
    cv::cvtColor(picture, overlay, cv::COLOR_BGRA2BGR);
  } else {
    overlay = picture.clone();
  }
  paint(overlay, result);
  if (!cv::imwrite(target, overlay)) {
    throw std::runtime_error(target + ": cannot be written");
  }
  return summary.anomalous ? 3 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: inspect PACKAGE PICTURE OVERLAY\n";
    return 2;
  }
  try {
    return inspect(argv[1], argv[2], argv[3]);
  } catch (const std::exception& failure) {
    std::cerr << "inspect: " << failure.what() << "\n";
    return 1;
  }
}
