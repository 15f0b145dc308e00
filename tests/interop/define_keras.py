"""Make models of definitions with Keras itself and write what they are and answer.

TF_USE_LEGACY_KERAS=1 python define_keras.py DEFINITIONS.json OUT.json FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

KERAS_3 = hasattr(tf.keras, "ops")

sys.modules.setdefault("keras", tf.keras)
for part in ("models", "layers", "optimizers", "backend"):
    sys.modules.setdefault(f"keras.{part}", getattr(tf.keras, part))


def filled(model, seed):
    """Give all weights numbers that a test makes again, layer by layer."""
    source = np.random.default_rng(seed)
    for layer in model.layers:
        for one in layer.weights:
            shape = tuple(one.shape)
            scale = (1.5 / max(1, np.prod(shape[:-1]))) ** 0.5 if len(shape) > 1 else 0.2
            value = source.normal(size=shape) * scale
            if "variance" in one.name or "gamma" in one.name:
                value = 0.5 + np.abs(value)
            one.assign(value.astype("f4"))


def main(definitions, out, folder):
    found = {}
    rows = json.loads(Path(definitions).read_text())
    for number, (name, (code, made)) in enumerate(rows.items()):
        tf.keras.backend.clear_session()
        if number % 2:  # so that numbers of layers do not begin at none
            tf.keras.layers.Conv2D(1, 1)(tf.keras.Input((4, 4, 1)))
        space = {"__name__": "definition"}
        exec(compile(code, name, "exec"), space)
        model = eval(made, space)
        filled(model, number)
        model.save_weights(Path(folder) / f"{number}{'.weights' if KERAS_3 else ''}.h5")
        shape = [n or 16 for n in model.input_shape[1:]]
        image = np.random.default_rng(number).uniform(size=(1, *shape)).astype("f4")
        answer = np.asarray(model.predict(image, verbose=0), float).ravel()
        layers = [
            [layer.name, [[weight.name, list(weight.shape)] for weight in layer.weights]]
            for layer in model.layers
        ]
        found[name] = {
            "layers": layers,
            "shape": shape,
            "answer": answer[:: max(1, len(answer) // 60)].round(6).tolist(),
        }
        print(name, flush=True)
    Path(out).write_text(json.dumps(found))


main(*sys.argv[1:])
