// uflow.hpp as a C++ program uses it: fits, detects, streams, fails. Built with exceptions, and with -DUFLOW_USE_EXPECTED
// -fno-exceptions; in both cases with all warnings that the header promises to be free of.
//
//   wrapper FOLDER
#include <uflow.hpp>
#include <uflow.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

constexpr std::uint32_t SIDE = 64;

void expect(bool condition, const char* what, int line) {
  if (!condition) {
    std::fprintf(stderr, "wrapper.cpp:%d: failed: %s\n", line, what);
    std::exit(1);
  }
}
#define EXPECT(condition) expect((condition), #condition, __LINE__)

// The value of what must not fail.
#ifdef UFLOW_USE_EXPECTED
template <class T>
T must(uflow::expected<T> made) {
  if (!made) {
    std::fprintf(stderr, "%s\n", made.error().what());
    std::exit(1);
  }
  return *std::move(made);
}
void must(uflow::expected<void> done) {
  if (!done) {
    std::fprintf(stderr, "%s\n", done.error().what());
    std::exit(1);
  }
}
#define MUST(call) must(call)
#define CODE_OF(call) ([&]() -> std::uint32_t { auto made = (call); return made ? 0u : made.error().code(); }())
#else
#define MUST(call) (call)
#define CODE_OF(call)                           \
  ([&]() -> std::uint32_t {                     \
    try {                                       \
      static_cast<void>(call);                  \
    } catch (const uflow::error& thrown) {      \
      EXPECT(std::string(thrown.what()) != ""); \
      return thrown.code();                     \
    }                                           \
    return 0;                                   \
  }())
#endif

std::vector<std::uint8_t> picture(unsigned seed, bool defect) {
  std::vector<std::uint8_t> pixels(SIDE * SIDE);
  unsigned state = seed * 2654435761u + 1;
  for (std::uint32_t i = 0; i < pixels.size(); i++) {
    state = state * 1664525u + 1013904223u;
    std::uint32_t x = i % SIDE, y = i / SIDE;
    bool inside = defect && x > 20 && x < 40 && y > 20 && y < 40;
    pixels[i] = inside ? static_cast<std::uint8_t>(x % 2 * 255) : static_cast<std::uint8_t>(90 + x % 8 * 6 + (state >> 24) % 24);
  }
  return pixels;
}

uflow_image of(const std::vector<std::uint8_t>& pixels) {
  return uflow::image(pixels.data(), pixels.size(), SIDE, SIDE, UFLOW_FORMAT_GRAY8);
}

}  // namespace

int main(int argc, char** argv) {
  EXPECT(argc == 3);
  const std::string package = std::string(argv[1]) + "/wrapper.uflow";
  uflow::engine engine = MUST(uflow::engine::create());
  EXPECT(CODE_OF(engine.load("/nothing/here")) == UFLOW_STATUS_PACKAGE);

  uflow::fit_options fitting = MUST(uflow::fit_options::create("wrapper"));
  MUST(fitting.set_backbone(argv[2]));
  MUST(fitting.set_input_size(SIDE, SIDE));
  MUST(fitting.set_epochs(2, 2));
  uflow::trainer trainer = MUST(uflow::trainer::create(engine, fitting));
  for (unsigned seed = 0; seed < 10; seed++) {
    MUST(trainer.add(of(picture(seed, false))));
  }
  EXPECT(trainer.frames() == 10);
#ifndef UFLOW_USE_EXPECTED
  bool thrown_on = false;
  try {
    trainer.fit(package, [](const uflow_progress&) -> std::uint32_t { throw 42; });
  } catch (int what) {
    thrown_on = what == 42;
  }
  EXPECT(thrown_on);
#endif
  EXPECT(CODE_OF(trainer.fit(package, [](const uflow_progress&) { return UFLOW_CONTROL_CANCEL; })) == UFLOW_STATUS_CANCELLED);
  int calls = 0;
  MUST(trainer.fit(package, [&](const uflow_progress& progress) {
    EXPECT(progress.epochs == 2);
    calls++;
    return UFLOW_CONTROL_CONTINUE;
  }));
  EXPECT(calls > 2 && MUST(trainer.training()).images + MUST(trainer.training()).held_out == 10);

  uflow::model model = MUST(engine.load(package));
  EXPECT(model.name() == "wrapper" && MUST(model.info()).input_width == SIDE);
  EXPECT(std::string(MUST(model.info()).device) == "cpu" && std::string(MUST(model.info()).flow_sha256).size() == 64);
  EXPECT(MUST(model.verify()) <= 1e-3);
  uflow::detector detector = MUST(uflow::detector::create(model));
  uflow::options options = MUST(uflow::options::create());
  MUST(options.set_epsilon(1e200));
  MUST(options.set_maps(UFLOW_MAPS_MASK));
  const std::vector<std::uint8_t> pixels = picture(3, true);
  uflow::result result = MUST(detector.detect(of(pixels), options));
  const uflow_summary summary = MUST(result.summary());
  EXPECT(summary.anomalous == 1);
  const std::vector<uflow_region> regions = MUST(result.regions());
  EXPECT(regions.size() == summary.regions && !regions.empty());
  std::size_t corners = 0;
  for (const uflow_point& point : MUST(result.outline(0))) {
    EXPECT(point.x <= SIDE && point.y <= SIDE);
    corners++;
  }
  EXPECT(corners >= 4);
  const auto mask = MUST(result.mask());
  std::size_t inside = 0;
  for (std::uint32_t y = 0; y < mask.height(); y++) {
    for (std::uint8_t value : mask.row(y)) {
      inside += value;
    }
  }
  EXPECT(inside > 0 && mask.width() == SIDE);
  EXPECT(CODE_OF(result.score_map()) == UFLOW_STATUS_NOT_FOUND);
  const uflow::verdict verdict = MUST(detector.classify(of(pixels), options));
  EXPECT(verdict.score == summary.score && verdict.anomalous);
  EXPECT(MUST(detector.score(of(pixels))) == summary.score);
  uflow::options fresh;
  MUST(fresh.set_epsilon(0.5));
  EXPECT(MUST(fresh.info()).epsilon == 0.5);
  MUST(fresh.reset());
  EXPECT(!(MUST(fresh.info()).epsilon == 0.5));
  uflow::result later;
  MUST(detector.detect(of(pixels), later, fresh));
  EXPECT(MUST(later.summary()).score == summary.score && MUST(later.summary()).batch_size == 1);
  uflow::engine_options one_thread;
  MUST(one_thread.set_threads(1));
  EXPECT(MUST(one_thread.info()).threads == 1 && CODE_OF(one_thread.set_threads(1025)) == UFLOW_STATUS_INVALID_ARGUMENT);
  MUST(fitting.set_detection(uflow::options()));
  EXPECT(std::string(MUST(fitting.info()).name) == "wrapper");
  EXPECT(MUST(detector.detect_batch({of(pixels), of(pixels)}, options)).size() == 2);
  EXPECT(CODE_OF(detector.detect(uflow::encoded_image(pixels.data(), pixels.size()))) == UFLOW_STATUS_UNDECODABLE);

  uflow::result moved = std::move(result);
  EXPECT(moved.get() != nullptr && result.get() == nullptr);

  std::atomic<int> released{0}, found{0};
  {
    uflow::stream_options calls_back;
    calls_back.capacity = 3;
    calls_back.on_release = [&](const uflow_frame& frame) {
      EXPECT(frame.buffer == &found);
      released++;
    };
    calls_back.on_result = [&](const uflow_frame& frame, const uflow_status* status, uflow::result_view) {
      EXPECT(frame.buffer == &found && frame.timestamp == 100 + frame.id && status == nullptr);
      found++;
    };
    uflow::stream stream;
    EXPECT(!stream && stream.pending() == 0);
    stream = MUST(uflow::stream::create(model, calls_back));
    uflow::stream elsewhere = std::move(stream);
    EXPECT(!stream && elsewhere);
    for (std::uint64_t i = 0; i < 20; i++) {
      MUST(elsewhere.submit(of(pixels), uflow::frame(i, 100 + i, &found)));
    }
    MUST(elsewhere.flush());
    EXPECT(released == 20 && found == 20 && elsewhere.pending() == 0);
    // Assigning to a stream with frames inside releases them, through callbacks that still exist.
    MUST(elsewhere.submit(of(pixels), uflow::frame(20, 120, &found)));
    MUST(elsewhere.submit(of(pixels), uflow::frame(21, 121, &found)));
    elsewhere = MUST(uflow::stream::create(model));
    EXPECT(released == 22);
    MUST(elsewhere.close());
    EXPECT(CODE_OF(elsewhere.submit(of(pixels))) == UFLOW_STATUS_UNAVAILABLE);
  }
  uflow::result kept = MUST(uflow::result::create());
  MUST(kept.copy_from(moved.see()));
  EXPECT(MUST(kept.summary()).score == summary.score && MUST(kept.mask()).width() == SIDE);
  uflow::stream polled = MUST(uflow::stream::create(model));
  uflow_image junk = uflow::encoded_image(pixels.data(), pixels.size());
  MUST(polled.submit(junk, uflow::frame(5)));
  const uflow::stream_result next = MUST(polled.next(moved));
  EXPECT(next.frame.id == 5 && next.failure && next.failure->code() == UFLOW_STATUS_UNDECODABLE);
  uflow::options with_latents;
  MUST(with_latents.set_maps(UFLOW_MAPS_LATENTS));
  MUST(polled.submit(of(pixels), uflow::frame(6), UFLOW_WAIT_FOREVER, with_latents));
  uflow::result with_z;
  EXPECT(MUST(polled.next(with_z)).frame.id == 6 && MUST(with_z.latents(0)).size > 0);
  EXPECT(MUST(engine.metrics()).find("uflow_frames_total") != std::string::npos);

  uflow::segmenter segmenter = MUST(uflow::segmenter::create(SIDE, SIDE));
  std::vector<float> z(4 * 8 * 8, 0.5f);
  uflow_latents latents = UFLOW_LATENTS_INIT;
  latents.data = z.data();
  latents.size = z.size();
  latents.channels = 4;
  latents.height = latents.width = 8;
  MUST(segmenter.segment({latents}, moved));
  EXPECT(MUST(moved.summary()).anomalous == 0);
  std::puts("done");
  return 0;
}
