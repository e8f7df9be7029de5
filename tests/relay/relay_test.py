# SPDX-License-Identifier: MIT
"""Bytes in both directions, by both ways; and peers that are slow, silent, too many or gone."""

import hashlib
import multiprocessing
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from support import MODES, PATIENCE, PROGRAM, Peer, Relay, eventually, in_background, read_to_end

KIB = 1 << 10


def reset(connection):
    """Closes with a reset, as a crashed peer does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def fill(connection):
    """Sends until nobody takes any more. Returns: what was taken."""
    sent = bytearray()
    chooser = random.Random(7)
    connection.settimeout(0.5 * PATIENCE)
    try:
        while True:
            piece = chooser.randbytes(64 * KIB)
            while piece:
                taken = connection.send(piece)
                sent += piece[:taken]
                piece = piece[taken:]
    except TimeoutError:
        connection.settimeout(20 * PATIENCE)
        return bytes(sent)


def serve_and_hang(listener):
    """A peer in a process of its own, that takes a connection and reads nothing of it."""
    taken = listener.accept()[0]
    taken.recv(1)
    time.sleep(60 * PATIENCE)


class Relaying(unittest.TestCase):
    def test_every_byte_in_both_directions_at_once(self):
        for mode in MODES:
            with self.subTest(mode), Peer() as peer, Relay(peer.address, *mode) as relay:
                total = [0, 0]

                def one(seed):
                    chooser = random.Random(seed)
                    up = chooser.randbytes(chooser.randrange(0, 3_000_000))
                    down = chooser.randbytes(chooser.randrange(0, 3_000_000))
                    total[0] += len(up)
                    total[1] += len(down)
                    got = {}

                    def speak(connection, what, name):
                        def say():
                            connection.sendall(what)
                            connection.shutdown(socket.SHUT_WR)

                        speaking = in_background(say)
                        got[name] = read_to_end(connection)
                        speaking.join()

                    with relay.connect() as client, peer.accept() as other:
                        answering = in_background(speak, other, down, "up")
                        speak(client, up, "down")
                        answering.join()
                    self.assertTrue(got["up"] == up)
                    self.assertTrue(got["down"] == down)

                for seed in range(8):
                    one(seed)
                said = relay.stop()
                self.assertEqual((said["bytes_up"], said["bytes_down"]), tuple(total))
                self.assertEqual((said["accepted"], said["finished"]), (8, 8))
                self.assertEqual((said["bytes_lost"], said["aborted"], said["open"]), (0, 0, 0))
                self.assertEqual(said["slots_in_use"], 0)

    def test_many_at_once_leave_nothing_behind(self):
        for mode in MODES:
            with self.subTest(mode), Peer() as peer, Relay(peer.address, *mode) as relay:
                def echo(connection):
                    with connection:
                        while piece := connection.recv(1 << 16):
                            connection.sendall(piece)
                        connection.shutdown(socket.SHUT_WR)

                def talk(seed):
                    content = random.Random(seed).randbytes(200_000)
                    with relay.connect() as client:
                        def say():
                            client.sendall(content)
                            client.shutdown(socket.SHUT_WR)

                        speaking = in_background(say)
                        results.append(read_to_end(client) == content)
                        speaking.join()

                relay.statistics()
                before = relay.descriptors()
                results = []
                talking = [in_background(talk, seed) for seed in range(30)]
                echoing = [in_background(echo, peer.accept()) for _ in talking]
                for each in (*talking, *echoing):
                    each.join()
                self.assertEqual(results, [True] * 30)
                self.assertTrue(eventually(lambda: relay.statistics()["open"] == 0))
                kept_pipes = 16
                self.assertLessEqual(relay.descriptors(), before + 2 * kept_pipes)
                self.assertEqual(relay.statistics()["slots_in_use"], 0)

    def test_half_close_of_either_side(self):
        for mode in MODES:
            with self.subTest(mode), Peer() as peer, Relay(peer.address, *mode) as relay:
                for first in ("client", "peer"):
                    with relay.connect() as client, peer.accept() as other:
                        ending, going = (client, other) if first == "client" else (other, client)
                        ending.sendall(b"question")
                        ending.shutdown(socket.SHUT_WR)
                        self.assertEqual(read_to_end(going), b"question")
                        for _ in range(5):  # the other direction lives on
                            going.sendall(b"part of it")
                            self.assertEqual(ending.recv(100), b"part of it")
                        going.close()
                        self.assertEqual(ending.recv(100), b"")
                    self.assertTrue(eventually(lambda: relay.statistics()["open"] == 0))
                self.assertEqual(relay.statistics()["finished"], 2)

    def test_slow_receiver_stops_the_reading_and_gets_every_byte(self):
        for mode in MODES:
            for share in (8 * KIB, 256 * KIB):
                options = [*mode, "--connection-bytes", str(2 * share), "--pool-bytes", "16MiB"]
                with self.subTest(options), Peer(receive_buffer=32 * KIB) as peer, \
                        Relay(peer.address, *options) as relay:
                    with relay.connect() as client, peer.accept() as other:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * KIB)
                        before = relay.resident_bytes()
                        sent = fill(client)
                        self.assertLess(len(sent), 64 << 20, "nothing held it back")
                        said = relay.statistics()
                        self.assertGreater(said["most_held"], 0)
                        self.assertLessEqual(said["most_held"], share)
                        self.assertLessEqual(said["slots_in_use"] * 4 * KIB, share)
                        # A sanitizer has memory of its own for each byte that is touched.
                        spare = (4 << 20) * PATIENCE
                        self.assertLess(relay.resident_bytes(), before + 4 * share + spare)
                        client_got = []
                        reading = in_background(lambda: client_got.append(read_to_end(other)))
                        client.shutdown(socket.SHUT_WR)
                        reading.join()
                        self.assertTrue(client_got[0] == sent)

    def test_a_slow_one_does_not_hold_up_the_others(self):
        for mode in MODES:
            with self.subTest(mode), Peer() as peer, Relay(peer.address, *mode) as relay:
                with relay.connect() as slow, peer.accept():
                    fill(slow)
                    with relay.connect() as client, peer.accept() as other:
                        for _ in range(100):
                            client.sendall(b"ping")
                            self.assertEqual(other.recv(100), b"ping")
                            other.sendall(b"pong")
                            self.assertEqual(client.recv(100), b"pong")

    def test_a_pool_that_is_too_small_makes_them_wait_and_no_more(self):
        options = ["--inspect", "--pool-bytes", "1MiB", "--connection-bytes", "1MiB"]
        with Peer(receive_buffer=16 * KIB) as peer, Relay(peer.address, *options) as relay:
            # Each that is blocked has a slot at least, and there are 46 in all.
            pairs = []
            for _ in range(60):
                client = relay.connect()
                pairs.append((client, peer.accept()))
            sent = [b""] * len(pairs)

            def fill_one(index):
                sent[index] = fill(pairs[index][0])

            filling = [in_background(fill_one, index) for index in range(len(pairs))]
            for each in filling:
                each.join()
            said = relay.statistics()
            self.assertGreater(said["waits"], 0)
            # It waits without running in circles.
            time.sleep(0.5)
            self.assertLess(relay.statistics()["waits"] - said["waits"], 1000)
            # All at once: those who wait need the slots of those who are blocked.
            arrived = []

            def read_one(index):
                client, other = pairs[index]
                client.shutdown(socket.SHUT_WR)
                arrived.append(read_to_end(other) == sent[index])
                other.close()
                client.close()

            reading = [in_background(read_one, index) for index in range(len(pairs))]
            for each in reading:
                each.join()
            self.assertEqual(arrived, [True] * len(pairs))
            self.assertEqual(relay.stop()["bytes_lost"], 0)

    def test_silence_is_ended(self):
        for mode in MODES:
            options = [*mode, "--idle-timeout-ms", "400"]
            with self.subTest(options), Peer() as peer, Relay(peer.address, *options) as relay:
                with relay.connect() as client, peer.accept() as other:
                    for _ in range(4):
                        client.sendall(b"x")
                        self.assertEqual(other.recv(10), b"x")
                        time.sleep(0.15)  # less than the limit each time, more in all
                    for each in (client, other):
                        with self.assertRaises(ConnectionResetError):
                            each.recv(10)
                # One whose receiver has stopped is no less silent.
                with relay.connect() as client, peer.accept():
                    with self.assertRaises(ConnectionResetError):
                        fill(client)
                        client.recv(10)  # where the limit comes later than nobody takes more
                    self.assertTrue(eventually(lambda: relay.statistics()["open"] == 0))
                said = relay.statistics()
                self.assertEqual(said["idle_timeouts"], 2)
                self.assertEqual(said["slots_in_use"], 0)

    def test_more_than_there_may_be_are_reset(self):
        for mode in MODES:
            options = [*mode, "--max-connections", "2"]
            with self.subTest(options), Peer() as peer, Relay(peer.address, *options) as relay:
                held = [(relay.connect(), peer.accept()) for _ in range(2)]
                # The reset may be there before connect() has seen that it is connected.
                with self.assertRaises(ConnectionResetError), relay.connect() as third:
                    third.recv(10)
                held[0][0].close()
                held[0][1].close()
                self.assertTrue(eventually(lambda: relay.statistics()["open"] == 1))
                with relay.connect() as fourth, peer.accept() as other:
                    fourth.sendall(b"now")
                    self.assertEqual(other.recv(10), b"now")
                for each in held[1]:
                    each.close()
                self.assertEqual(relay.statistics()["refused"], 1)

    def test_a_peer_that_does_not_answer_resets_the_client(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))  # and does not listen
            for mode in MODES:
                with self.subTest(mode), Relay(closed.getsockname(), *mode) as relay:
                    for _ in range(3):
                        with self.assertRaises(ConnectionResetError), relay.connect() as client:
                            client.recv(10)
                    self.assertEqual(relay.statistics()["connect_failures"], 3)

    def test_a_killed_peer_resets_the_other_and_what_was_lost_is_counted(self):
        for mode in MODES:
            with self.subTest(mode), Peer(receive_buffer=16 * KIB) as peer, \
                    Relay(peer.address, *mode) as relay:
                process = multiprocessing.get_context("fork").Process(
                    target=serve_and_hang, args=(peer.listener,))
                process.start()
                with relay.connect() as client:
                    sent = fill(client)
                    process.kill()
                    process.join()
                    process.close()
                    with self.assertRaises((ConnectionResetError, BrokenPipeError)):
                        client.recv(10)
                        client.sendall(b"x")
                self.assertTrue(eventually(lambda: relay.statistics()["open"] == 0))
                said = relay.statistics()
                self.assertEqual(said["aborted"], 1)
                self.assertGreater(said["bytes_lost"], 0)
                self.assertLessEqual(said["bytes_up"] + said["bytes_lost"], len(sent))
                self.assertEqual(said["slots_in_use"], 0)
                with relay.connect() as client, peer.accept() as other:  # and goes on
                    client.sendall(b"still")
                    self.assertEqual(other.recv(10), b"still")

    def test_a_client_that_crashes_resets_the_peer(self):
        for mode in MODES:
            with self.subTest(mode), Peer() as peer, Relay(peer.address, *mode) as relay:
                for _ in range(20):
                    client = relay.connect()
                    other = peer.accept()
                    client.sendall(b"x")
                    self.assertEqual(other.recv(10), b"x")
                    reset(client)
                    with self.assertRaises(ConnectionResetError):
                        other.recv(10)
                    other.close()
                self.assertTrue(eventually(lambda: relay.statistics()["open"] == 0))
                self.assertEqual(relay.statistics()["aborted"], 20)

    def test_curl_through_it(self):
        with tempfile.TemporaryDirectory() as directory:
            content = os.urandom(20_000_000)
            with open(os.path.join(directory, "file"), "wb") as file:
                file.write(content)
            if not shutil.which("curl"):
                self.skipTest("no curl")
            with subprocess.Popen(
                    [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1",
                     "--directory", directory], stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL) as server:
                try:
                    port = int(server.stdout.readline().split()[5])
                    for mode in MODES:
                        with self.subTest(mode), Relay(("127.0.0.1", port), *mode) as relay:
                            url = f"http://127.0.0.1:{relay.address[1]}/file"
                            got = subprocess.run(["curl", "-sSf", url], capture_output=True,
                                                 check=True, timeout=60 * PATIENCE).stdout
                            self.assertEqual(hashlib.sha256(got).digest(),
                                             hashlib.sha256(content).digest())
                finally:
                    server.kill()

    def test_inspection_counts_transport_stream_packets(self):
        packet = b"\x47" + bytes(187)
        with Peer() as peer, Relay(peer.address, "--inspect") as relay:
            with relay.connect() as client, peer.accept() as other:
                stream = packet * 1000 + b"garbage" + packet * 500 + b"\x00" + packet * 20
                chooser = random.Random(1)
                rest = stream
                while rest:
                    cut = chooser.randrange(1, 5000)
                    client.sendall(rest[:cut])
                    rest = rest[cut:]
                client.shutdown(socket.SHUT_WR)
                self.assertTrue(read_to_end(other) == stream)
            said = relay.statistics()
            self.assertEqual(said["ts_packets"], 1520)
            self.assertEqual(said["ts_other_bytes"], 8)
            self.assertEqual(said["ts_sync_losses"], 2)


if __name__ == "__main__":
    assert PROGRAM, "RELAY is not set"
    unittest.main(verbosity=2)
