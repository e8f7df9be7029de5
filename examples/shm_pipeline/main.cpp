// SPDX-License-Identifier: MIT
// shm_pipeline: frames through three processes, of which any may be killed.
#include <csignal>

#include <shm_pipeline/options.hpp>
#include <shm_pipeline/programs.hpp>

int main(int argc, char** argv) {
    using namespace shm_pipeline;
    const auto parsed = parse_options(argc, argv);
    if (!parsed.run) {
        return parsed.exit_code;
    }
    std::signal(SIGPIPE, SIG_IGN);
    switch (parsed.values.what) {
        case program::capture: return capture(parsed.values);
        case program::packager: return package(parsed.values);
        case program::viewer: return view(parsed.values);
        case program::run:
        case program::broker: break;
    }
    return run(parsed.values);
}
