// Fits a model to the good images in a folder, added one by one as a camera would.
//
//   g++ -std=c++17 train.cpp $(pkg-config --cflags --libs uflow) -o train
//   ./train good/ bracket.uflow
//
// Ctrl-C stops training and writes the best model so far. Exit code: 0 fitted, 1 something failed.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <uflow.hpp>
#include <vector>

namespace fs = std::filesystem;

namespace {

volatile std::sig_atomic_t stop = 0;

// The library installs no signal handlers; the program does.
extern "C" void on_interrupt(int) { stop = 1; }

std::vector<char> read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void train(const fs::path& good, const std::string& package) {
  const uflow::engine engine = uflow::engine::create();
  uflow::fit_options options = uflow::fit_options::create(fs::path(package).stem().string());
  uflow::trainer trainer = uflow::trainer::create(engine, options);

  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(good)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    const std::vector<char> bytes = read(file);
    try {
      trainer.add(uflow::encoded_image(bytes.data(), bytes.size()));
    } catch (const uflow::error& failure) {
      // A bad file among many is named and skipped.
      std::fprintf(stderr, "train: skipped %s: %s\n", file.c_str(), failure.what());
    }
  }
  std::printf("%zu good images\n", trainer.frames());

  trainer.fit(package, [](const uflow_progress& progress) -> std::uint32_t {
    if (progress.held_out_nll == progress.held_out_nll) {  // not NaN: an epoch is over
      std::printf("epoch %u of %u: held out %.4f, latent variance %.2f\n", progress.epoch, progress.epochs,
                  progress.held_out_nll, progress.latent_variance);
    }
    return stop ? UFLOW_CONTROL_STOP : UFLOW_CONTROL_CONTINUE;
  });
  const uflow_training training = trainer.training();
  const std::string warnings = trainer.warnings();
  std::fputs(warnings.c_str(), stderr);
  std::printf("%s: best epoch %u, fair threshold %.4f, %.0f s\n", package.c_str(), training.best_epoch,
              static_cast<double>(training.fair_threshold), training.seconds);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: train FOLDER PACKAGE\n");
    return 2;
  }
  std::signal(SIGINT, on_interrupt);
  try {
    train(argv[1], argv[2]);
    return 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "train: %s\n", failure.what());
    return 1;
  }
}
