#!/usr/bin/env python3
"""The order service is killed under load, twice; what it acknowledged must be there. The long run is tests/e2e/crash_run."""

import os
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))
builds = os.environ.get("LEVITY_BUILD_DIR", "")
if not builds:
    sys.exit("LEVITY_BUILD_DIR must name the build directory; ctest sets it")
sys.exit(subprocess.run([os.path.join(here, "crash_run"), builds, "2", "500"], timeout=300).returncode)
