#!/usr/bin/env python3
"""The pictures are those that would be drawn today, and every viewer can read them."""

import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import pictures  # noqa: E402


class Pictures(unittest.TestCase):
    def test_each_is_as_it_would_be_drawn_now(self):
        for name, draw in pictures.PICTURES.items():
            with self.subTest(name):
                self.assertEqual((pictures.PLACE / name).read_text(), draw(), "./dev docs pictures draws it anew")

    def test_each_is_well_formed(self):
        for name, draw in pictures.PICTURES.items():
            with self.subTest(name):
                xml.fromstring(draw())

    def test_the_house_has_a_dot_for_each_room_that_is_granted(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "src").mkdir()
            rooms = ("# why\nlow: uses  # the ground\nlater [optional planned]: uses low  # has no folder\n"
                     "high [optional]: uses {} # the top\n")
            garden = "garden [outside]: uses  # a user\n"
            (root / "src/rooms.txt").write_text(rooms.format("low ") + garden)
            granted = pictures.house(root)
            (root / "src/rooms.txt").write_text(rooms.format("") + garden)
            self.assertIn("<title>high uses low</title>", granted)
            self.assertIn("<title>high does not use low</title>", pictures.house(root))
            self.assertNotIn("later", granted)


if __name__ == "__main__":
    unittest.main()
