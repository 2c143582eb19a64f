# SPDX-License-Identifier: MIT
"""One stock Debian dom0 for all scenarios of a file group: boots cost most of the time."""
import os

import pytest
from machine import BUILD, Machine
from guests import Dom0


@pytest.fixture(scope="session")
def dom0():
    """Debian's dom0 with stock units, on two CPUs unless HELIUM_SMP says otherwise."""
    cpus = int(os.environ.get("HELIUM_SMP", "2"))
    d = Dom0(Machine(smp=cpus, mem=2048, log=BUILD / "logs/system.log"))
    d.cpus = cpus
    d.m.boot()
    d.prepare()
    yield d
    d.m.off()


@pytest.fixture(autouse=True)
def tidy(request):
    """No domain outlives its test, and all its memory comes back."""
    yield
    if "dom0" in request.fixturenames:
        request.getfixturevalue("dom0").tidy()
