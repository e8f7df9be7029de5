# SPDX-License-Identifier: MIT
"""Looking again and again: in place on a terminal, line by line elsewhere, until the end."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

from support import PATIENCE, POOL_PROGRAM, PROGRAM, PoolProgram, die_with_parent, run


class Terminal:
    """zcpool_top on a terminal of its own."""

    def __init__(self, *arguments, rows=24, columns=132):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdin=slave, stdout=slave,
                                        stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        os.close(slave)
        self.shown = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(timeout=20 * PATIENCE)
        self.process.stderr.close()
        os.close(self.master)

    def read(self, seconds):
        """Reads on. Returns: False at the end."""
        if select.select([self.master], [], [], seconds)[0]:
            try:
                self.shown += os.read(self.master, 1 << 16).decode()
            except OSError:  # nobody has the other end any more
                return False
        return True

    def wait_for(self, condition, seconds=20):
        deadline = time.monotonic() + seconds * PATIENCE
        while not condition(self.shown) and time.monotonic() < deadline:
            if not self.read(0.1):
                break
        return condition(self.shown)

    def read_to_end(self):
        self.wait_for(lambda shown: False, 60)

    def frames(self):
        """What was shown, a list of lines each; the last one may not be whole yet."""
        return [frame.split("\r\n") for frame in self.shown.split("\x1b[H")[1:]]


def class_row(lines, name):
    return next((line.split() for line in lines if line.lstrip().startswith(name)), None)


class Screen(unittest.TestCase):
    def test_a_terminal_is_refreshed_in_place(self):
        with PoolProgram() as owner:
            owner.order("acquire", 0, 2)
            with Terminal(owner.pid, "--interval", "0.1") as terminal:
                self.assertTrue(terminal.wait_for(lambda shown: shown.count("\x1b[J") >= 2))
                row = class_row(terminal.frames()[0], "4 KiB")
                self.assertEqual(row[:5], ["4", "KiB", "32", "2", "2"])
                owner.order("acquire", 0, 5)
                owner.order("churn", 1, 1000)

                def is_seen(_):
                    rows = [class_row(frame, "4 KiB") for frame in terminal.frames()]
                    return any(row and row[3] == "7" for row in rows)
                self.assertTrue(terminal.wait_for(is_seen))

                def has_rate(_):
                    rows = [class_row(frame, "64 KiB") for frame in terminal.frames()]
                    return any(row and len(row) > 6 and row[5].isdigit() and int(row[5]) > 0
                               for row in rows)
                self.assertTrue(terminal.wait_for(has_rate))
                self.assertEqual(terminal.shown.count("\x1b[2J"), 1)  # cleared once, at first
                self.assertTrue(terminal.shown.startswith("\x1b[2J\x1b[H"))
                terminal.process.send_signal(signal.SIGINT)
                self.assertEqual(terminal.process.wait(timeout=20 * PATIENCE), 0)

    def test_a_small_terminal_is_not_overrun(self):
        with PoolProgram() as owner:
            with Terminal(owner.pid, "--interval", "0.1", "--count", "3", rows=6,
                          columns=40) as terminal:
                terminal.read_to_end()
                self.assertEqual(terminal.process.wait(timeout=20 * PATIENCE), 0)
                frames = terminal.frames()
                self.assertEqual(len(frames), 3)
                for frame in frames:
                    *lines, rest = frame
                    self.assertEqual(rest, "\x1b[J")
                    self.assertEqual(len(lines), 5)
                    for line in lines:
                        self.assertTrue(line.endswith("\x1b[K"))
                        self.assertLessEqual(len(line.removesuffix("\x1b[K")), 40)

    def test_one_look_on_a_terminal_leaves_it_as_it_is(self):
        with PoolProgram() as owner:
            with Terminal(owner.pid, "--once") as terminal:
                terminal.read_to_end()
                self.assertNotIn("\x1b", terminal.shown)
                self.assertIn("4 KiB", terminal.shown)

    def test_elsewhere_looks_follow_each_other_without_escape_codes(self):
        with PoolProgram() as owner:
            done = run(owner.pid, "--count", "3", "--interval", "0.1")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertNotIn("\x1b", done.stdout)
            self.assertEqual(done.stdout.count("PUBLISHED"), 3)
            self.assertEqual(done.stdout.count(f"\n\npool {owner.inode()} "), 2)

    def test_rates_are_what_was_done_in_between(self):
        with PoolProgram() as owner:
            process = subprocess.Popen(
                [PROGRAM, str(owner.pid), "--json", "--interval", "0.2"],
                stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
            try:
                looks = [json.loads(process.stdout.readline())]
                owner.order("churn", 0, 700)
                for line in process.stdout:
                    looks.append(json.loads(line))
                    if looks[-1]["pools"][0]["classes"][0]["acquired"] == 700:
                        break
                process.terminate()
                self.assertEqual(process.wait(timeout=20 * PATIENCE), 0)
            finally:
                process.kill()
                process.wait()
                process.stdout.close()
            first, *later = [each["pools"][0] for each in looks]
            self.assertIsNone(first["interval_seconds"])
            self.assertIsNone(first["classes"][0]["acquired_per_second"])
            done = 0
            for each in later:
                self.assertGreater(each["interval_seconds"], 0)
                done += each["classes"][0]["acquired_per_second"] * each["interval_seconds"]
            self.assertAlmostEqual(done, 700, delta=10)

    def test_it_goes_on_without_its_owner_and_ends_when_nobody_is_left(self):
        with PoolProgram() as owner:
            partner = owner.partner("partner", small=1)
            process = subprocess.Popen(
                [PROGRAM, str(owner.pid), "--json", "--interval", "0.1"], stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
            try:
                process.stdout.readline()
                owner.process.kill()
                owner.process.wait(timeout=20 * PATIENCE)
                for _ in range(100):
                    pool = json.loads(process.stdout.readline())["pools"][0]
                    states = {each["state"] for each in pool["processes"]}
                    names = {each["name"] for each in pool["processes"]}
                    if "dead" in states:
                        break
                self.assertEqual(states, {"dead", "sleeping"})
                self.assertEqual(names, {owner.name, "partner"})  # it remembers
                os.kill(partner, signal.SIGKILL)
                _, said = process.communicate(timeout=20 * PATIENCE)
                self.assertEqual(process.returncode, 0, said)
                self.assertIn(f"PID {owner.pid}: no process of its pools lives any more", said)
            finally:
                process.kill()
                process.wait()
                process.stdout.close()
                process.stderr.close()


if __name__ == "__main__":
    assert PROGRAM and POOL_PROGRAM, "ZCPOOL_TOP or POOL_PROGRAM is not set"
    unittest.main(verbosity=2)
