"""Answer images with ONNX Runtime: ``python onnx_runtime.py NETWORK.onnx IMAGE.npy ANSWER.npy``."""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime

path, image, answer = sys.argv[1:]
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
np.save(answer, session.run(None, {session.get_inputs()[0].name: np.load(image)})[0])
