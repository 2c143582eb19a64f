# SPDX-License-Identifier: MIT
import pytest

import machine


@pytest.fixture(scope="session", autouse=True)
def built():
    for name in ("xen", "guest/hello.elf"):
        if not (machine.BUILD / name).exists():
            pytest.fail(f"{machine.BUILD / name} is missing: make all guests", pytrace=False)
