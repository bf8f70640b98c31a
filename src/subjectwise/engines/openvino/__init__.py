"""The OpenVINO engine for CPUs."""

from __future__ import annotations

from subjectwise.utils.openvino_import import import_openvino

import_openvino()  # before its modules import it
