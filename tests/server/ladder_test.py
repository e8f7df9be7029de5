# SPDX-License-Identifier: MIT
"""The real thing: an HLS ladder, fetched by curl, ffmpeg and wrk, compared byte by byte."""

import hashlib
import os
import re
import subprocess
import unittest

from support import LADDER, PATIENCE, WAYS, Case, Server, ladder_files, main



def run(*command, seconds=120):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=seconds * PATIENCE, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace")
        raise AssertionError(f"{command}: {done.returncode}\n{said}")
    return done.stdout


def digest(content):
    return hashlib.sha256(content).hexdigest()


def read(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


@unittest.skipUnless(LADDER, "LADDER is not set")
class Ladder(Case):
    def test_curl_gets_every_file(self):
        names = ladder_files()
        self.assertGreater(len(names), 30)
        for options in WAYS:
            with self.subTest(options), Server(LADDER, *options) as server:
                # One curl, one connection, twice: from disk first, then from the pool.
                for turn in range(2):
                    folder = os.path.join(self.directory, f"{options[1]}{turn}")
                    arguments = []
                    for name in names:
                        arguments += ["-o", os.path.join(folder, name), f"{server.url}/{name}"]
                    run("curl", "-sS", "--fail", "--create-dirs", *arguments)
                    for name in names:
                        served = read(folder, name)
                        self.assertEqual(digest(served), digest(read(LADDER, name)), name)

    def test_ffmpeg_plays_the_master_playlist(self):
        streams = [(container, variant, suffix)
                   for container, suffix in (("ts", "ts"), ("fmp4", "mp4")) for variant in range(3)]
        local = {stream: self.copy_stream(LADDER, *stream) for stream in streams}
        for options in WAYS:
            with Server(LADDER, *options) as server:
                for stream in streams:
                    with self.subTest((options, stream)):
                        self.assertEqual(self.copy_stream(server.url, *stream), local[stream])

    def copy_stream(self, where, container, variant, suffix):
        """Remuxes one variant without decoding. Returns: the digest of the result."""
        source = f"{where}/{container}/master.m3u8"
        target = os.path.join(self.directory, f"copy.{suffix}")
        run("ffmpeg", "-nostdin", "-v", "error", "-xerror", "-y", "-i", source,
            "-map", f"0:p:{variant}", "-c", "copy", "-fflags", "+bitexact",
            "-map_metadata", "-1", target)
        content = read(target)
        self.assertGreater(len(content), 100_000)
        return digest(content)

    def test_wrk_sees_no_error(self):
        script = os.path.join(self.directory, "mix.lua")
        with open(script, "w", encoding="ascii") as file:
            paths = ", ".join(f'"/{name}"' for name in ladder_files())
            file.write(f"local paths = {{{paths}}}\nlocal i = 0\n"
                       "request = function()\n  i = i % #paths + 1\n"
                       "  return wrk.format(\"GET\", paths[i])\nend\n")
        for options in WAYS:
            with self.subTest(options), Server(LADDER, *options) as server:
                text = run("wrk", "-t1", "-c32", "-d1s", "-s", script, server.url).decode()
                self.assertNotIn("Non-2xx", text)
                self.assertNotIn("Socket errors", text)
                self.assertGreater(int(re.search(r"(\d+) requests in", text).group(1)), 50)
                metrics = server.metrics()
                for name, value in metrics.items():
                    if name.startswith("responses_total") and "200" not in name:
                        self.assertEqual(value, 0, name)


if __name__ == "__main__":
    main()
