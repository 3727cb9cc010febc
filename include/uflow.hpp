/*
 * uflow.hpp: libuflow in C++17, header only, over uflow.h.
 *
 * Handles free themselves and can be moved. A default-constructed handle is empty, like a default-constructed std::thread: give it a
 * value before using it. Only `options`, `engine_options` and `result` work when default-constructed: they are created on first use.
 * Lifetimes, threads, units and errors are those of the functions in uflow.h that the members are named after.
 *
 * A failure throws uflow::error. If UFLOW_USE_EXPECTED is defined before this header is included, nothing throws, and a function that
 * can fail returns uflow::expected<T> in place of T: for programs built with -fno-exceptions.
 *
 *   uflow::engine engine = uflow::engine::create();
 *   uflow::model model = engine.load("bracket.uflow");
 *   uflow::detector detector = uflow::detector::create(model);
 *   uflow::result result = detector.detect(uflow::image(pixels, size, width, height, UFLOW_FORMAT_BGR8, stride));
 *   if (result.summary().anomalous) { ... }
 */
#ifndef UFLOW_HPP
#define UFLOW_HPP

/* Visual C++ keeps __cplusplus at 199711L and tells the version in _MSVC_LANG. */
#if (defined(_MSVC_LANG) ? _MSVC_LANG : __cplusplus) < 201703L
#error "uflow.hpp needs C++17 or newer: compile with -std=c++17, or include uflow.h"
#else

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "uflow.h"

namespace uflow {

/** A failure: a code, and a message that says what was wrong, where, and what to do. */
class error
#ifndef UFLOW_USE_EXPECTED
    : public std::runtime_error
#endif
{
 public:
  /** Takes ownership of a status that is not NULL. */
  explicit error(uflow_status* status)
#ifdef UFLOW_USE_EXPECTED
      : message_(uflow_status_get_message(status)),
#else
      : std::runtime_error(uflow_status_get_message(status)),
#endif
        code_(static_cast<std::uint32_t>(uflow_status_get_code(status))) {
    uflow_status_free(status);
  }

  /** A uflow_status_code. */
  std::uint32_t code() const noexcept { return code_; }

#ifdef UFLOW_USE_EXPECTED
  const char* what() const noexcept { return message_.c_str(); }

 private:
  std::string message_;
#else

 private:
#endif
  std::uint32_t code_;
};

#ifdef UFLOW_USE_EXPECTED

/** A value, or the reason why there is none. */
template <class T>
class [[nodiscard]] expected {
 public:
  expected(T value) : value_(std::move(value)) {}
  expected(uflow::error why) : error_(std::move(why)) {}

  bool has_value() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  /** Only if has_value(). */
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return std::move(*value_); }
  T& operator*() & { return *value_; }
  T&& operator*() && { return std::move(*value_); }
  T* operator->() { return &*value_; }
  /** Only if not has_value(). */
  const uflow::error& error() const { return *error_; }

 private:
  std::optional<T> value_;
  std::optional<uflow::error> error_;
};

template <>
class [[nodiscard]] expected<void> {
 public:
  expected() = default;
  expected(uflow::error why) : error_(std::move(why)) {}

  bool has_value() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  const uflow::error& error() const { return *error_; }

 private:
  std::optional<uflow::error> error_;
};

/** The return type of a call that can fail. */
template <class T>
using outcome = expected<T>;

#else

/** The return type of a call that can fail. */
template <class T>
using outcome = T;

#endif

/** Values in memory that another object owns. */
template <class T>
class view {
 public:
  constexpr view() noexcept = default;
  constexpr view(T* data, std::size_t size) noexcept : data_(data), size_(size) {}

  constexpr T* data() const noexcept { return data_; }
  constexpr std::size_t size() const noexcept { return size_; }
  constexpr bool empty() const noexcept { return size_ == 0; }
  constexpr T& operator[](std::size_t index) const { return data_[index]; }
  constexpr T* begin() const noexcept { return data_; }
  constexpr T* end() const noexcept { return data_ + size_; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

/** A map of numbers in memory that another object owns: rows without gaps. */
template <class T>
class map_view {
 public:
  constexpr map_view() noexcept = default;
  constexpr map_view(T* data, std::uint32_t width, std::uint32_t height) noexcept
      : data_(data), width_(width), height_(height) {}

  constexpr T* data() const noexcept { return data_; }
  constexpr std::uint32_t width() const noexcept { return width_; }
  constexpr std::uint32_t height() const noexcept { return height_; }
  constexpr view<T> row(std::uint32_t y) const { return {data_ + std::size_t{y} * width_, width_}; }
  constexpr T& operator()(std::uint32_t x, std::uint32_t y) const { return data_[std::size_t{y} * width_ + x]; }

 private:
  T* data_ = nullptr;
  std::uint32_t width_ = 0;
  std::uint32_t height_ = 0;
};

namespace detail {

template <class T, class Make>
outcome<T> finish(uflow_status* status, Make&& make) {
  if (status != nullptr) {
#ifdef UFLOW_USE_EXPECTED
    return error(status);
#else
    throw error(status);
#endif
  }
  return make();
}

inline outcome<void> finish(uflow_status* status) {
  if (status != nullptr) {
#ifdef UFLOW_USE_EXPECTED
    return error(status);
#else
    throw error(status);
#endif
  }
  return outcome<void>();
}

/** Owns a handle. */
template <class T, void (*Free)(T*)>
class handle {
 public:
  /** Empty. */
  handle() noexcept = default;
  /** Takes ownership of a handle; NULL: empty. */
  explicit handle(T* pointer) noexcept : pointer_(pointer) {}

  /** Whether there is a handle. */
  explicit operator bool() const noexcept { return pointer_ != nullptr; }
  /** For functions of uflow.h that have no member here. */
  T* get() const noexcept { return pointer_.get(); }
  /** Gives the handle, and its ownership, to the caller. */
  T* release() noexcept { return pointer_.release(); }

 protected:
  /** Makes the handle unless there is one. */
  uflow_status* ensure(uflow_status* (*make)(T**)) {
    T* made = nullptr;
    uflow_status* status = pointer_ == nullptr ? make(&made) : nullptr;
    if (made != nullptr) {
      pointer_.reset(made);
    }
    return status;
  }

 private:
  struct free_it {
    void operator()(T* pointer) const noexcept { Free(pointer); }
  };
  std::unique_ptr<T, free_it> pointer_;
};

template <class H, class T, class Make>
outcome<H> create(Make&& make) {
  T* pointer = nullptr;
  uflow_status* status = make(&pointer);
  return finish<H>(status, [&] { return H(pointer); });
}

inline outcome<std::string> take(uflow_status* status, uflow_text* text) {
  return finish<std::string>(status, [&] {
    detail::handle<uflow_text, uflow_text_free> owner(text);
    return std::string(uflow_text_data(text), uflow_text_size(text));
  });
}

}  // namespace detail

/** Final: no engine can be created after it. See uflow_shutdown. */
inline outcome<void> shutdown() { return detail::finish(uflow_shutdown()); }

/** Pixels in the caller's memory. A stride of 0: rows without gaps. */
inline uflow_image image(const void* data, std::size_t size, std::uint32_t width, std::uint32_t height, std::uint32_t format,
                         std::size_t stride = 0) noexcept {
  uflow_image made = UFLOW_IMAGE_INIT;
  made.data = static_cast<const std::uint8_t*>(data);
  made.size = size;
  made.width = width;
  made.height = height;
  made.format = format;
  made.stride = stride;
  return made;
}

/** An encoded file (PNG, JPEG, ...) in the caller's memory. */
inline uflow_image encoded_image(const void* data, std::size_t size) noexcept {
  return image(data, size, 0, 0, UFLOW_FORMAT_ENCODED);
}

/** The upright size, format and pages of an image, from its header. See uflow_image_get_info. */
inline outcome<uflow_image_info> image_info(const uflow_image& of) {
  uflow_image_info found = UFLOW_IMAGE_INFO_INIT;
  uflow_status* status = uflow_image_get_info(&of, &found);
  return detail::finish<uflow_image_info>(status, [&] { return found; });
}

/** What comes back with a frame's release and with its result. */
inline uflow_frame frame(std::uint64_t id = 0, std::uint64_t timestamp = 0, void* buffer = nullptr) noexcept {
  uflow_frame made = UFLOW_FRAME_INIT;
  made.id = id;
  made.timestamp = timestamp;
  made.buffer = buffer;
  return made;
}

/** See uflow_options. Created on first use; one that was never set stands for the package's defaults. */
class options : public detail::handle<uflow_options, uflow_options_free> {
 public:
  using handle::handle;
  static outcome<options> create() { return detail::create<options, uflow_options>(uflow_options_new); }

  outcome<void> set_epsilon(double epsilon) {
    return change([&](uflow_options* to) { return uflow_options_set_epsilon(to, epsilon); });
  }
  outcome<void> set_reject_rate(double rate) {
    return change([&](uflow_options* to) { return uflow_options_set_reject_rate(to, rate); });
  }
  outcome<void> set_verdict(std::uint32_t verdict) {
    return change([&](uflow_options* to) { return uflow_options_set_verdict(to, verdict); });
  }
  outcome<void> set_score_threshold(float threshold) {
    return change([&](uflow_options* to) { return uflow_options_set_score_threshold(to, threshold); });
  }
  outcome<void> set_min_area(std::uint32_t pixels) {
    return change([&](uflow_options* to) { return uflow_options_set_min_area(to, pixels); });
  }
  outcome<void> set_bound(std::uint32_t bound) {
    return change([&](uflow_options* to) { return uflow_options_set_bound(to, bound); });
  }
  outcome<void> set_tests(std::uint32_t tests) {
    return change([&](uflow_options* to) { return uflow_options_set_tests(to, tests); });
  }
  outcome<void> set_maps(std::uint32_t maps) {
    return change([&](uflow_options* to) { return uflow_options_set_maps(to, maps); });
  }
  outcome<void> set_priority(std::uint32_t priority) {
    return change([&](uflow_options* to) { return uflow_options_set_priority(to, priority); });
  }
  outcome<void> set_time_limit(std::uint32_t milliseconds) {
    return change([&](uflow_options* to) { return uflow_options_set_time_limit(to, milliseconds); });
  }
  outcome<void> set_roi(const std::uint8_t* mask, std::size_t size, std::uint32_t width, std::uint32_t height,
                        std::size_t stride = 0) {
    return change([&](uflow_options* to) { return uflow_options_set_roi(to, mask, size, width, height, stride); });
  }
  outcome<void> clear_roi() { return change(uflow_options_clear_roi); }
  outcome<void> reset() { return change(uflow_options_reset); }
  outcome<uflow_options_info> info() {
    uflow_options_info found = UFLOW_OPTIONS_INFO_INIT;
    uflow_status* status = ensure(uflow_options_new);
    status = status != nullptr ? status : uflow_options_get_info(get(), &found);
    return detail::finish<uflow_options_info>(status, [&] { return found; });
  }

 private:
  template <class Change>
  outcome<void> change(Change&& call) {
    uflow_status* status = ensure(uflow_options_new);
    return detail::finish(status != nullptr ? status : call(get()));
  }
};

/** A result that another object owns. See uflow_result. */
class result_view {
 public:
  explicit result_view(const uflow_result* pointer) noexcept : pointer_(pointer) {}

  const uflow_result* get() const noexcept { return pointer_; }

  outcome<uflow_summary> summary() const {
    uflow_summary found = UFLOW_SUMMARY_INIT;
    uflow_status* status = uflow_result_get_summary(pointer_, &found);
    return detail::finish<uflow_summary>(status, [&] { return found; });
  }
  outcome<uflow_region> region(std::uint32_t index) const {
    uflow_region found = UFLOW_REGION_INIT;
    uflow_status* status = uflow_result_get_region(pointer_, index, &found);
    return detail::finish<uflow_region>(status, [&] { return found; });
  }
  /** All of them, the most significant first. */
  outcome<std::vector<uflow_region>> regions() const {
    uflow_summary figures = UFLOW_SUMMARY_INIT;
    uflow_status* status = uflow_result_get_summary(pointer_, &figures);
    std::vector<uflow_region> found;
    for (std::uint32_t i = 0; status == nullptr && i < figures.regions; i++) {
      found.push_back(UFLOW_REGION_INIT);
      status = uflow_result_get_region(pointer_, i, &found.back());
    }
    return detail::finish<std::vector<uflow_region>>(status, [&] { return std::move(found); });
  }
  outcome<view<const uflow_point>> outline(std::uint32_t region, std::uint32_t ring = 0) const {
    const uflow_point* points = nullptr;
    std::size_t count = 0;
    uflow_status* status = uflow_result_get_outline(pointer_, region, ring, &points, &count);
    return detail::finish<view<const uflow_point>>(status, [&] { return view<const uflow_point>(points, count); });
  }
  /** Of a scale; 0 is the finest. */
  outcome<uflow_latents> latents(std::uint32_t scale) const {
    uflow_latents found = UFLOW_LATENTS_INIT;
    uflow_status* status = uflow_result_get_latents(pointer_, scale, &found);
    return detail::finish<uflow_latents>(status, [&] { return found; });
  }
  outcome<map_view<const std::uint8_t>> mask() const { return map<std::uint8_t>(uflow_result_get_mask); }
  outcome<map_view<const float>> score_map() const { return map<float>(uflow_result_get_score_map); }
  outcome<map_view<const float>> log10_nfa_map() const { return map<float>(uflow_result_get_log10_nfa_map); }

 private:
  template <class T, class Get>
  outcome<map_view<const T>> map(Get get_map) const {
    const T* pixels = nullptr;
    std::uint32_t width = 0, height = 0;
    uflow_status* status = get_map(pointer_, &pixels, &width, &height);
    return detail::finish<map_view<const T>>(status, [&] { return map_view<const T>(pixels, width, height); });
  }

  const uflow_result* pointer_;
};

/** See uflow_result. Created on first use. */
class result : public detail::handle<uflow_result, uflow_result_free> {
 public:
  using handle::handle;
  static outcome<result> create() { return detail::create<result, uflow_result>(uflow_result_new); }

  /** Views point into the result, so they cannot be taken from a temporary. */
  result_view see() const& noexcept { return result_view(get()); }
  result_view see() const&& = delete;
  outcome<uflow_summary> summary() const { return result_view(get()).summary(); }
  outcome<uflow_region> region(std::uint32_t index) const { return result_view(get()).region(index); }
  outcome<std::vector<uflow_region>> regions() const { return result_view(get()).regions(); }
  outcome<uflow_latents> latents(std::uint32_t scale) const& { return see().latents(scale); }
  outcome<uflow_latents> latents(std::uint32_t scale) const&& = delete;
  outcome<view<const uflow_point>> outline(std::uint32_t region, std::uint32_t ring = 0) const& {
    return see().outline(region, ring);
  }
  outcome<map_view<const std::uint8_t>> mask() const& { return see().mask(); }
  outcome<map_view<const float>> score_map() const& { return see().score_map(); }
  outcome<map_view<const float>> log10_nfa_map() const& { return see().log10_nfa_map(); }
  outcome<view<const uflow_point>> outline(std::uint32_t region, std::uint32_t ring = 0) const&& = delete;
  outcome<map_view<const std::uint8_t>> mask() const&& = delete;
  outcome<map_view<const float>> score_map() const&& = delete;
  outcome<map_view<const float>> log10_nfa_map() const&& = delete;

  /** Copies another result; views of this one become invalid. */
  outcome<void> copy_from(result_view other) {
    return fill([&](uflow_result* into) { return uflow_result_copy(other.get(), into); });
  }

  /** For functions of uflow.h that fill a result: creates it if it is empty. */
  uflow_status* ensure() { return handle::ensure(uflow_result_new); }
  /** Calls a function that fills the result, which is created if it is empty. */
  template <class Fill>
  outcome<void> fill(Fill&& call) {
    uflow_status* status = ensure();
    return detail::finish(status != nullptr ? status : call(get()));
  }
};

/** See uflow_model. */
class model : public detail::handle<uflow_model, uflow_model_free> {
 public:
  using handle::handle;

  std::string name() const { return uflow_model_name(get()); }
  /** Its texts are valid as long as the model. */
  outcome<uflow_model_info> info() const {
    uflow_model_info found = UFLOW_MODEL_INFO_INIT;
    uflow_status* status = uflow_model_get_info(get(), &found);
    return detail::finish<uflow_model_info>(status, [&] { return found; });
  }
  /** Runs the package's golden frames; gives the largest difference, if all agree. A tolerance of 0 is the default. See uflow_model_verify. */
  outcome<double> verify(double tolerance = 0) const {
    double difference = 0;
    uflow_status* status = uflow_model_verify(get(), tolerance, &difference);
    return detail::finish<double>(status, [&] { return difference; });
  }
};

/** See uflow_engine_options. Created on first use. */
class engine_options : public detail::handle<uflow_engine_options, uflow_engine_options_free> {
 public:
  using handle::handle;
  static outcome<engine_options> create() {
    return detail::create<engine_options, uflow_engine_options>(uflow_engine_options_new);
  }

  outcome<void> set_device(const std::string& device) {
    return change([&](uflow_engine_options* to) { return uflow_engine_options_set_device(to, device.c_str()); });
  }
  outcome<void> set_precision(const std::string& precision) {
    return change([&](uflow_engine_options* to) { return uflow_engine_options_set_precision(to, precision.c_str()); });
  }
  outcome<void> set_onnxruntime(const std::string& path) {
    return change([&](uflow_engine_options* to) { return uflow_engine_options_set_onnxruntime(to, path.c_str()); });
  }
  /** A PEM file of public keys: only packages that one of them signed are loaded. "" accepts every package. */
  outcome<void> set_trusted_keys(const std::string& path) {
    return change([&](uflow_engine_options* to) { return uflow_engine_options_set_trusted_keys(to, path.c_str()); });
  }
  outcome<void> set_threads(std::uint32_t threads) {
    return change([&](uflow_engine_options* to) { return uflow_engine_options_set_threads(to, threads); });
  }
  outcome<void> set_workers(std::uint32_t workers) {
    return change([&](uflow_engine_options* to) { return uflow_engine_options_set_workers(to, workers); });
  }
  outcome<void> set_batching(std::uint32_t max_batch, double max_delay_ms) {
    return change([&](uflow_engine_options* to) { return uflow_engine_options_set_batching(to, max_batch, max_delay_ms); });
  }
  outcome<void> set_max_in_flight(std::uint32_t max_in_flight) {
    return change([&](uflow_engine_options* to) { return uflow_engine_options_set_max_in_flight(to, max_in_flight); });
  }
  outcome<void> set_limits(std::uint64_t max_pixels, std::uint64_t max_bytes) {
    return change([&](uflow_engine_options* to) { return uflow_engine_options_set_limits(to, max_pixels, max_bytes); });
  }
  outcome<void> set_memory(std::uint64_t max_frame_bytes, std::uint64_t max_work_bytes) {
    return change([&](uflow_engine_options* to) {
      return uflow_engine_options_set_memory(to, max_frame_bytes, max_work_bytes);
    });
  }
  outcome<void> reset() { return change(uflow_engine_options_reset); }
  /** Its texts are valid until the next call. */
  outcome<uflow_engine_options_info> info() {
    uflow_engine_options_info found = UFLOW_ENGINE_OPTIONS_INFO_INIT;
    uflow_status* status = ensure(uflow_engine_options_new);
    status = status != nullptr ? status : uflow_engine_options_get_info(get(), &found);
    return detail::finish<uflow_engine_options_info>(status, [&] { return found; });
  }

 private:
  template <class Change>
  outcome<void> change(Change&& call) {
    uflow_status* status = ensure(uflow_engine_options_new);
    return detail::finish(status != nullptr ? status : call(get()));
  }
};

/** See uflow_engine. */
class engine : public detail::handle<uflow_engine, uflow_engine_free> {
 public:
  using handle::handle;
  static outcome<engine> create(const engine_options& options = engine_options()) {
    return detail::create<engine, uflow_engine>([&](uflow_engine** out) { return uflow_engine_new(options.get(), out); });
  }

  outcome<model> load(const std::string& path) const {
    return detail::create<model, uflow_model>(
        [&](uflow_model** out) { return uflow_engine_load(get(), path.c_str(), out); });
  }
  /** From a repository; version 0 is the highest. */
  outcome<model> load(const std::string& root, const std::string& name, std::uint32_t version = 0) const {
    return detail::create<model, uflow_model>([&](uflow_model** out) {
      return uflow_engine_load_version(get(), root.c_str(), name.c_str(), version, out);
    });
  }
  outcome<std::string> metrics() const {
    uflow_text* text = nullptr;
    uflow_status* status = uflow_engine_metrics(get(), &text);
    return detail::take(status, text);
  }
};

/** The verdict on an image, and its score. */
struct verdict {
  bool anomalous;
  float score;
};

/** See uflow_detector. */
class detector : public detail::handle<uflow_detector, uflow_detector_free> {
 public:
  using handle::handle;
  static outcome<detector> create(const model& of) {
    return detail::create<detector, uflow_detector>(
        [&](uflow_detector** out) { return uflow_detector_new(of.get(), out); });
  }

  /** Fills a result, whose memory is reused. */
  outcome<void> detect(const uflow_image& of, result& into, const options& with = options()) {
    return into.fill([&](uflow_result* made) { return uflow_detector_detect(get(), &of, with.get(), made); });
  }
  /** Makes a new result. */
  outcome<result> detect(const uflow_image& of, const options& with = options()) {
    uflow_result* made = nullptr;
    uflow_status* status = uflow_result_new(&made);
    result owner(made);
    if (status == nullptr) {
      status = uflow_detector_detect(get(), &of, with.get(), made);
    }
    return detail::finish<result>(status, [&] { return std::move(owner); });
  }
  outcome<void> detect_into(const uflow_image& of, const uflow_buffers& buffers, result& into,
                            const options& with = options()) {
    return into.fill(
        [&](uflow_result* made) { return uflow_detector_detect_into(get(), &of, with.get(), &buffers, made); });
  }
  /** As many results as images. */
  outcome<std::vector<result>> detect_batch(const std::vector<uflow_image>& images, const options& with = options()) {
    std::vector<result> results;
    std::vector<uflow_result*> pointers;
    uflow_status* status = nullptr;
    while (status == nullptr && results.size() < images.size()) {
      uflow_result* made = nullptr;
      status = uflow_result_new(&made);
      results.emplace_back(made);
      pointers.push_back(made);
    }
    if (status == nullptr) {
      status = uflow_detector_detect_batch(get(), images.data(), images.size(), with.get(), pointers.data());
    }
    return detail::finish<std::vector<result>>(status, [&] { return std::move(results); });
  }
  /** The image score alone. */
  outcome<float> score(const uflow_image& of, const options& with = options()) {
    float found = 0;
    uflow_status* status = uflow_detector_score(get(), &of, with.get(), &found, nullptr);
    return detail::finish<float>(status, [&] { return found; });
  }
  /** The verdict and the score, without regions. */
  outcome<verdict> classify(const uflow_image& of, const options& with = options()) {
    float found = 0;
    std::uint32_t anomalous = 0;
    uflow_status* status = uflow_detector_score(get(), &of, with.get(), &found, &anomalous);
    return detail::finish<verdict>(status, [&] { return verdict{anomalous != 0, found}; });
  }
};

/** See uflow_segmenter. */
class segmenter : public detail::handle<uflow_segmenter, uflow_segmenter_free> {
 public:
  using handle::handle;
  static outcome<segmenter> create(std::uint32_t width, std::uint32_t height) {
    return detail::create<segmenter, uflow_segmenter>(
        [&](uflow_segmenter** out) { return uflow_segmenter_new(width, height, out); });
  }

  /** See uflow_segment_latents; the image's sizes may be 0. */
  outcome<void> segment(const std::vector<uflow_latents>& latents, result& into, const options& with = options(),
                        std::uint32_t image_width = 0, std::uint32_t image_height = 0,
                        const uflow_buffers* buffers = nullptr) {
    return into.fill([&](uflow_result* made) {
      return uflow_segment_latents(get(), latents.data(), latents.size(), with.get(), image_width, image_height,
                                   buffers, made);
    });
  }
};

/** How a stream works, and the functions that it calls. They must not throw. See uflow_stream_options. */
struct stream_options {
  std::uint32_t capacity = 8;
  std::uint32_t time_limit_ms = 0;
  /** Receives the results, if set: the frame as it was submitted; NULL, or why the frame failed; the result if it did not fail. */
  std::function<void(const uflow_frame& frame, const uflow_status* status, result_view found)> on_result;
  /** Called when a frame's bytes are not read any more, if set. */
  std::function<void(const uflow_frame& frame)> on_release;
};

/** What uflow_stream_next gives. */
struct stream_result {
  /** The frame as it was submitted. */
  uflow_frame frame;
  /** Why the frame failed, if it did. */
  std::optional<error> failure;
};

/** See uflow_stream. Empty when default-constructed: assign a created one. Its own callbacks must not destroy it or assign to it. */
class stream {
 public:
  stream() noexcept = default;
  stream(stream&&) noexcept = default;
  /** Ends the old stream before its callbacks are destroyed. */
  stream& operator=(stream&& other) noexcept {
    if (this != &other) {
      stream_ = detail::handle<uflow_stream, uflow_stream_free>();
      calls_ = std::move(other.calls_);
      stream_ = std::move(other.stream_);
    }
    return *this;
  }

  static outcome<stream> create(const model& of, stream_options with = stream_options()) {
    auto calls = std::make_unique<stream_options>(std::move(with));
    uflow_stream_options* made = nullptr;
    uflow_status* status = uflow_stream_options_new(&made);
    detail::handle<uflow_stream_options, uflow_stream_options_free> owner(made);
    if (status == nullptr) {
      status = uflow_stream_options_set_capacity(made, calls->capacity);
    }
    if (status == nullptr) {
      status = uflow_stream_options_set_time_limit(made, calls->time_limit_ms);
    }
    if (status == nullptr && calls->on_result) {
      status = uflow_stream_options_set_result_callback(made, result_thunk, calls.get());
    }
    if (status == nullptr && calls->on_release) {
      status = uflow_stream_options_set_release_callback(made, release_thunk, calls.get());
    }
    uflow_stream* pointer = nullptr;
    if (status == nullptr) {
      status = uflow_stream_new(of.get(), made, &pointer);
    }
    return detail::finish<stream>(status, [&] { return stream(std::move(calls), pointer); });
  }

  /** The image's bytes are lent until the frame is released. Waits up to timeout_ms for a place. */
  outcome<void> submit(const uflow_image& of, const uflow_frame& datum = uflow::frame(),
                       std::uint32_t timeout_ms = UFLOW_WAIT_FOREVER, const options& with = options()) const {
    return detail::finish(uflow_stream_submit(get(), &of, with.get(), &datum, timeout_ms));
  }
  outcome<stream_result> next(result& into, std::uint32_t timeout_ms = UFLOW_WAIT_FOREVER) const {
    stream_result found{uflow::frame(), std::nullopt};
    uflow_status* failure = nullptr;
    uflow_status* status = into.ensure();
    if (status == nullptr) {
      status = uflow_stream_next(get(), timeout_ms, &found.frame, into.get(), &failure);
    }
    if (failure != nullptr) {
      found.failure.emplace(failure);
    }
    return detail::finish<stream_result>(status, [&] { return std::move(found); });
  }
  outcome<void> flush(std::uint32_t timeout_ms = UFLOW_WAIT_FOREVER) const {
    return detail::finish(uflow_stream_flush(get(), timeout_ms));
  }
  outcome<void> close() const { return detail::finish(uflow_stream_close(get())); }
  outcome<void> cancel() const { return detail::finish(uflow_stream_cancel(get())); }
  std::uint32_t pending() const noexcept { return uflow_stream_pending(get()); }
  uflow_stream* get() const noexcept { return stream_.get(); }
  /** Whether there is a stream. */
  explicit operator bool() const noexcept { return get() != nullptr; }

 private:
  stream(std::unique_ptr<stream_options> calls, uflow_stream* pointer) noexcept : calls_(std::move(calls)), stream_(pointer) {}

  static void result_thunk(void* user_data, const uflow_frame* datum, const uflow_status* status,
                           const uflow_result* found) noexcept {
    static_cast<stream_options*>(user_data)->on_result(*datum, status, result_view(found));
  }
  static void release_thunk(void* user_data, const uflow_frame* datum) noexcept {
    static_cast<stream_options*>(user_data)->on_release(*datum);
  }

  /* Members are destroyed in reverse order: the stream first, then its callbacks. */
  std::unique_ptr<stream_options> calls_;
  detail::handle<uflow_stream, uflow_stream_free> stream_;
};

/** See uflow_fit_options. */
class fit_options : public detail::handle<uflow_fit_options, uflow_fit_options_free> {
 public:
  using handle::handle;
  /** Options need the product's name: see create(). */
  fit_options() = delete;
  static outcome<fit_options> create(const std::string& name) {
    return detail::create<fit_options, uflow_fit_options>(
        [&](uflow_fit_options** out) { return uflow_fit_options_new(name.c_str(), out); });
  }

  outcome<void> set_backbone(const std::string& path) {
    return detail::finish(uflow_fit_options_set_backbone(get(), path.c_str()));
  }
  outcome<void> set_input_size(std::uint32_t width, std::uint32_t height) {
    return detail::finish(uflow_fit_options_set_input_size(get(), width, height));
  }
  /** 0 and 0: the size of the first frame. */
  outcome<void> set_tiles(std::uint32_t width = 0, std::uint32_t height = 0, std::uint32_t overlap = 128) {
    return detail::finish(uflow_fit_options_set_tiles(get(), width, height, overlap));
  }
  outcome<void> set_augmentation(std::uint32_t augmentation) {
    return detail::finish(uflow_fit_options_set_augmentation(get(), augmentation));
  }
  outcome<void> set_epochs(std::uint32_t epochs, std::uint32_t patience) {
    return detail::finish(uflow_fit_options_set_epochs(get(), epochs, patience));
  }
  /** For all flows of a fit together; infinity for no limit. */
  outcome<void> set_time_budget(double seconds) {
    return detail::finish(uflow_fit_options_set_time_budget(get(), seconds));
  }
  outcome<void> set_optimizer(std::uint32_t batch, double learning_rate, double weight_decay) {
    return detail::finish(uflow_fit_options_set_optimizer(get(), batch, learning_rate, weight_decay));
  }
  outcome<void> set_steps(std::uint32_t steps) { return detail::finish(uflow_fit_options_set_steps(get(), steps)); }
  outcome<void> set_noise(double noise) { return detail::finish(uflow_fit_options_set_noise(get(), noise)); }
  outcome<void> set_seed(std::uint64_t seed) { return detail::finish(uflow_fit_options_set_seed(get(), seed)); }
  outcome<void> set_memory(std::uint64_t bytes) { return detail::finish(uflow_fit_options_set_memory(get(), bytes)); }
  outcome<void> set_detection(const options& detection) {
    /* Empty options set nothing. */
    return detail::finish(detection ? uflow_fit_options_set_detection(get(), detection.get()) : nullptr);
  }
  outcome<void> set_significant_bits(std::uint32_t bits) {
    return detail::finish(uflow_fit_options_set_significant_bits(get(), bits));
  }
  outcome<void> set_float_range(float low, float high) {
    return detail::finish(uflow_fit_options_set_float_range(get(), low, high));
  }
  outcome<void> set_golden(std::uint32_t frames) { return detail::finish(uflow_fit_options_set_golden(get(), frames)); }
  outcome<void> set_cross_fit(bool on) { return detail::finish(uflow_fit_options_set_cross_fit(get(), on ? 1 : 0)); }
  outcome<void> reset() { return detail::finish(uflow_fit_options_reset(get())); }
  /** Its texts are valid until the next call. */
  outcome<uflow_fit_options_info> info() const {
    uflow_fit_options_info found = UFLOW_FIT_OPTIONS_INFO_INIT;
    uflow_status* status = uflow_fit_options_get_info(get(), &found);
    return detail::finish<uflow_fit_options_info>(status, [&] { return found; });
  }
};

/** See uflow_trainer. */
class trainer : public detail::handle<uflow_trainer, uflow_trainer_free> {
 public:
  using handle::handle;
  static outcome<trainer> create(const engine& on, const fit_options& with) {
    return detail::create<trainer, uflow_trainer>(
        [&](uflow_trainer** out) { return uflow_trainer_new(on.get(), with.get(), out); });
  }

  outcome<void> add(const uflow_image& of) { return detail::finish(uflow_trainer_add(get(), &of)); }
  std::size_t frames() const noexcept { return uflow_trainer_frames(get()); }

  /** `progress` returns a uflow_control. An exception that it throws ends training and leaves this function. */
  outcome<void> fit(const std::string& path, std::function<std::uint32_t(const uflow_progress&)> progress = nullptr) {
    asked state{std::move(progress), nullptr};
    uflow_status* status = uflow_trainer_fit(get(), path.c_str(), state.progress ? thunk : nullptr, &state);
#ifndef UFLOW_USE_EXPECTED
    if (state.thrown) {
      uflow_status_free(status);
      std::rethrow_exception(state.thrown);
    }
#endif
    return detail::finish(status);
  }
  outcome<uflow_training> training() const {
    uflow_training found = UFLOW_TRAINING_INIT;
    uflow_status* status = uflow_trainer_get_training(get(), &found);
    return detail::finish<uflow_training>(status, [&] { return found; });
  }
  /** Leaves out the frames that look defective or of another product, at most so many. What was left out, one a line: `frame 12: log10 NFA -3.41`. */
  outcome<std::string> drop_doubtful(std::uint32_t most) {
    uflow_text* text = nullptr;
    uflow_status* status = uflow_trainer_drop_doubtful(get(), most, &text);
    return detail::take(status, text);
  }
  /** One a line; empty if there are none. */
  outcome<std::string> warnings() const {
    uflow_text* text = nullptr;
    uflow_status* status = uflow_trainer_warnings(get(), &text);
    return detail::take(status, text);
  }

 private:
  struct asked {
    std::function<std::uint32_t(const uflow_progress&)> progress;
    std::exception_ptr thrown;
  };

  static std::uint32_t thunk(void* user_data, const uflow_progress* progress) noexcept {
    auto* state = static_cast<asked*>(user_data);
#ifdef UFLOW_USE_EXPECTED
    return state->progress(*progress);
#else
    try {
      return state->progress(*progress);
    } catch (...) {
      state->thrown = std::current_exception();
      return UFLOW_CONTROL_CANCEL;
    }
#endif
  }
};

}  // namespace uflow

#endif  // C++17
#endif  // UFLOW_HPP
