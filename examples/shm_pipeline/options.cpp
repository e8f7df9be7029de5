// SPDX-License-Identifier: MIT
#include <shm_pipeline/options.hpp>

#include <sys/stat.h>

#include <array>
#include <bit>
#include <cstddef>
#include <map>
#include <optional>
#include <random>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <common/number.hpp>
#include <common/option_checks.hpp>
#include <shm_pipeline/unix_path.hpp>

namespace shm_pipeline {
namespace {

using zcpool::ipc::back_pressure;

constexpr std::array<std::pair<const char*, back_pressure>, 3> policies{
    {{"wait", back_pressure::wait},
     {"drop-newest", back_pressure::drop_newest},
     {"drop-oldest", back_pressure::drop_oldest}}};

std::string check_socket(const std::string& path) {
    if (path.empty() || path.size() > longest_path) {
        return fmt::format(
            "--socket {}: {} bytes, and a path of a socket has 1 to {}; choose a "
            "shorter directory",
            path, path.size(), longest_path);
    }
    return {};
}

std::string check_source(const std::string& text) {
    constexpr std::string_view decoded = "ffmpeg:";
    constexpr std::string_view generated = "ffmpeg:lavfi:";
    if (text == "synthetic" || (text.starts_with(generated) && text.size() > generated.size())) {
        return {};
    }
    if (!text.starts_with(decoded) || text == generated) {
        return fmt::format(
            "--source {}: there are synthetic, ffmpeg:FILE and ffmpeg:lavfi:GRAPH; "
            "try ffmpeg:lavfi:testsrc",
            text);
    }
    struct stat found{};
    if (::stat(text.c_str() + decoded.size(), &found) != 0) {
        return fmt::format(
            "--source {}: there is no such file; name one, or write "
            "ffmpeg:lavfi:GRAPH for what ffmpeg makes itself",
            text);
    }
    return {};
}

std::optional<picture_size> parse_pixels(std::string_view text) {
    const auto middle = text.find('x');
    if (middle == std::string_view::npos) {
        return std::nullopt;
    }
    const auto width = examples::saturating_number(text.substr(0, middle));
    const auto height = examples::saturating_number(text.substr(middle + 1));
    // Either by itself may be no more than all of them.
    constexpr std::uint64_t most = largest_frame / pixel_bytes;
    if (!width || !height || *width > most || *height > most) {
        return std::nullopt;
    }
    return picture_size{static_cast<std::uint32_t>(*width), static_cast<std::uint32_t>(*height)};
}

std::string check_pixels(const std::string& text) {
    const auto size = parse_pixels(text);
    if (!size || size->bytes() < smallest_frame || size->bytes() > largest_frame) {
        return fmt::format(
            "--pixels {}: must be WIDTHxHEIGHT of {} to {} pixels in all, 4 bytes "
            "each; 128x128 is the least, 2048x1024 the most",
            text, smallest_frame / pixel_bytes, largest_frame / pixel_bytes);
    }
    return {};
}

template <class Number>
CLI::Option* add_number(CLI::App& app, const std::string& name, Number& value, const char* text,
                        std::uint64_t low, std::uint64_t high, const char* remedy) {
    return app.add_option(name, value, text)
        ->check(examples::whole_number(name, low, high, remedy));
}

void describe_sending(CLI::App& app, sending_options& values) {
    add_number(app, "--capacity", values.capacity,
               "frames that may be on their way to one reader; rounded up to a power of two", 1,
               1024, "each needs a slot")
        ->capture_default_str();
    app.add_option_function<std::string>(
           "--when-full",
           [&values](const std::string& text) {
               for (const auto& [name, policy] : policies) {
                   values.when_full = text == name ? policy : values.when_full;
               }
           },
           "when a reader is slow: wait for it, drop the frame that is new, or the oldest one "
           "[wait]")
        ->check(CLI::IsMember(std::vector<std::string>{"wait", "drop-newest", "drop-oldest"}))
        ->type_name("POLICY");
}

void describe_capture(CLI::App& app, capture_options& values) {
    app.add_option("--source", values.source,
                   "synthetic: a test picture that moves; ffmpeg:FILE, or ffmpeg:lavfi:GRAPH: what "
                   "the program ffmpeg decodes")
        ->check(CLI::Validator{[](std::string& text) { return check_source(text); }, "SOURCE"})
        ->capture_default_str();
    add_number(app, "--rate", values.rate, "frames a second; 0: as many as there is room for", 0,
               100'000, "frames a second")
        ->capture_default_str();
    add_number(app, "--frames", values.frames, "end after so many; 0: do not", 0, 1'000'000'000,
               "frames")
        ->capture_default_str();
}

void describe_viewer(CLI::App& app, viewer_options& values) {
    examples::add_timeout(app, "--view-ms", values.looks_for, "a viewer spends on each frame", 0);
}

/// What becomes options of a broker in the end.
struct broker_texts {
    std::string size;
    std::string pixels;
};

void describe_broker(CLI::App& app, broker_options& values, broker_texts& texts) {
    auto* const size =
        app.add_option("--size", texts.size,
                       "bytes of a frame, from 64KiB to 8MiB; the picture is the largest that fits")
            ->transform(examples::size_in_memory("--size", smallest_frame, "64KiB"))
            ->check(examples::whole_number("--size", smallest_frame, largest_frame,
                                           "write 64KiB to 8MiB"))
            ->type_name("BYTES")
            ->default_str("1MiB");
    app.add_option("--pixels", texts.pixels, "WIDTHxHEIGHT of a frame, 4 bytes a pixel")
        ->check(CLI::Validator{[](std::string& text) { return check_pixels(text); }, "WxH"})
        ->excludes(size);
    add_number(app, "--slots", values.slots,
               "frames that the pool holds; 0: what capacity and viewers need", 0, 65'536,
               "0 lets it choose")
        ->capture_default_str();
    add_number(app, "--viewers", values.viewers, "how many there are", 1, 28,
               "31 processes share a pool at most")
        ->capture_default_str();
    examples::add_timeout(app, "--duration-ms", values.duration,
                          "how long it runs; 0: until the source ends, or SIGINT", 0);
}

void describe_kills(CLI::App& app, broker_options& values) {
    add_number(app, "--kill-test", values.kills,
               "kill stages with SIGKILL at random moments, so often", 1, 10'000'000,
               "200 takes some seconds")
        ->expected(0, 1)
        ->default_str("200");
    add_number(app, "--seed", values.seed,
               "of the moments and victims, to repeat a kill test; else a new one each time", 0,
               UINT64_MAX, "the report of a kill test names its seed");
    examples::add_timeout(app, "--kill-within-ms", values.kill_within,
                          "at most between a kill, or a frame that arrived, and the next kill", 1);
}

void describe_socket(CLI::App& app, std::string& path, bool is_required) {
    app.add_option("--socket", path,
                   is_required ? "path of the broker's UNIX socket"
                               : "path of the UNIX socket; else one in a temporary directory")
        ->check(CLI::Validator{[](std::string& text) { return check_socket(text); }, "PATH"})
        ->required(is_required);
}

}  // namespace

const char* name_of(back_pressure policy) noexcept {
    for (const auto& [name, each] : policies) {
        if (each == policy) {
            return name;
        }
    }
    return "";
}

picture_size picture_within(std::size_t bytes) noexcept {
    const std::size_t pixels = bytes / pixel_bytes;
    // A power of two: the square root, or the next one above it.
    const auto bits = static_cast<unsigned>(std::bit_width(pixels) - 1);
    const auto width = std::uint32_t{1} << (bits + 1) / 2;
    return {width, static_cast<std::uint32_t>(pixels / width)};
}

parsed_options parse_options(int argc, const char* const* argv) {
    parsed_options parsed;
    options& values = parsed.values;
    broker_texts texts{.size = std::to_string(std::size_t{1} << 20), .pixels = {}};
    values.broker.seed = std::random_device{}();
    CLI::App app{"Frames through three processes that share a pool: capture, packager, viewers."};
    app.require_subcommand(0, 1);

    auto& run = *app.add_subcommand("run", "own the pool, and start all stages");
    auto& broker =
        *app.add_subcommand("broker", "own the pool, for stages that are started by hand");
    auto& capture = *app.add_subcommand("capture", "make frames");
    auto& packager = *app.add_subcommand("packager", "give each frame a head, and publish both");
    auto& viewer = *app.add_subcommand("viewer", "look at what is published");
    describe_socket(run, values.socket, false);
    for (CLI::App* each : {&broker, &capture, &packager, &viewer}) {
        describe_socket(*each, values.socket, true);
    }
    for (CLI::App* each : {&run, &broker}) {
        describe_broker(*each, values.broker, texts);
    }
    for (CLI::App* each : {&run, &broker, &capture, &packager}) {
        describe_sending(*each, values.sending);
    }
    for (CLI::App* each : {&run, &capture}) {
        describe_capture(*each, values.capture);
    }
    for (CLI::App* each : {&run, &viewer}) {
        describe_viewer(*each, values.viewer);
    }
    describe_kills(run, values.broker);

    if (const auto over = examples::parse(app, "shm_pipeline", argc, argv)) {
        parsed.exit_code = *over;
        return parsed;
    }
    if (app.get_subcommands().empty()) {
        fmt::print(stderr,
                   "shm_pipeline: which program? There are run, broker, capture, packager and "
                   "viewer; try run (see --help)\n");
        parsed.exit_code = 2;
        return parsed;
    }
    const std::array programs{std::pair{&run, program::run}, std::pair{&broker, program::broker},
                              std::pair{&capture, program::capture},
                              std::pair{&packager, program::packager},
                              std::pair{&viewer, program::viewer}};
    for (const auto& [each, what] : programs) {
        values.what = each->parsed() ? what : values.what;
    }
    values.broker.size = texts.pixels.empty()
                             ? picture_within(*examples::saturating_number(texts.size))
                             : parse_pixels(texts.pixels).value_or(picture_size{});
    parsed.run = true;
    return parsed;
}

}  // namespace shm_pipeline
