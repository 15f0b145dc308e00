"""Definitions of networks with a trap at every place where Python would run something."""

from __future__ import annotations

from collections.abc import Iterator

TRAP = "open('TRAP', 'w')"

PLACES = {
    "top": f"{TRAP}\n{{code}}",
    "end": f"{{code}}\n{TRAP}\n",
    "import": "import trap_module\nfrom trap_module import *\n{code}",
    "decorator": f"def deco(x): {TRAP}; return x\n{{decorated}}",
    "class body": "{code_before}class Small(nn.Module):\n    " + TRAP + "{body}",
    "metaclass": (
        f"class Meta(type):\n    def __new__(m, *a):\n        {TRAP}\n"
        "        return type.__new__(m, *a)\n"
        "{code}\nclass Other(metaclass=Meta): pass\n"
    ),
    "subclass": (
        f"class Base0:\n    def __init_subclass__(cls): {TRAP}\nclass B(Base0): pass\n{{code}}"
    ),
    "default": f"def helper(x=[{TRAP}]): pass\n{{code}}\nhelper()\n",
    "annotation": f"def helper(x: {TRAP}) -> {TRAP}: pass\ny: {TRAP} = 3\n{{code}}",
    "f-string": f'text = f"{{{{{TRAP}}}}}"\n{{code}}',
    "comprehension": f"rows = [{TRAP} for _ in range(3)]\n{{code}}",
    "lambda": f"(lambda: {TRAP})()\n{{code}}",
    "walrus": f"if (x := {TRAP}): pass\n{{code}}",
    "with": f"with {TRAP} as f: pass\n{{code}}",
    "assert": f"assert {TRAP}\n{{code}}",
    "try": f"try:\n    1 / 0\nexcept Exception:\n    {TRAP}\n{{code}}",
    "getattr": f"class A:\n    def __getattr__(self, n): {TRAP}\nA().x\n{{code}}",
    "property": f"class A:\n    @property\n    def x(self): {TRAP}\nA().x\n{{code}}",
    "descriptor": (
        f"class D:\n    def __set_name__(s, o, n): {TRAP}\nclass A:\n    d = D()\n{{code}}"
    ),
    "class item": f"class A:\n    def __class_getitem__(c, k): {TRAP}\nA[3]\n{{code}}",
    "match": f"match {TRAP}:\n    case _: {TRAP}\n{{code}}",
    "operator": f"class A:\n    def __add__(s, o): {TRAP}\nA() + 1\n{{code}}",
    "hash": f"class A:\n    def __hash__(s): {TRAP}\nx = {{{{A(): 1}}}}\n{{code}}",
    "del": f"class A:\n    def __del__(s): {TRAP}\na = A(); del a\n{{code}}",
    "generator": f"def g():\n    {TRAP}\n    yield 1\nlist(g())\n{{code}}",
    "eval": "eval(\"open('TRAP', 'w')\")\nexec(\"open('TRAP', 'w')\")\n{code}",
    "dunder": "__import__('trap_module')\n__builtins__['open']('TRAP', 'w')\n{code}",
    "reach": "().__class__.__base__.__subclasses__()[0]('TRAP')\n{code}",
    "system": "import os\nos.system('touch TRAP')\nos.popen('touch TRAP')\n{code}",
    "encoding": "# -*- coding: trap_module -*-\n{code}",
    "main": f"{{code}}\nif __name__ == '__main__':\n    {TRAP}\n",
    "in init": (
        f"{{code_before}}class Small(nn.Module):\n    def __init__(self):\n        {TRAP}\n{{body}}"
    ),
    "endless": "{code}\nwhile True: pass\n",
    "power": "{code}\nx = 9 ** 9 ** 9\ny = 'a' * 10 ** 12\nz = [0] * 10 ** 12\n",
    "wide": "{code}\nx = " + "+".join(["1"] * 20_000) + "\n",
    "deep": "{code}\nx = " + "(" * 150 + "1" + ")" * 150 + "\n",
    "huge layer": "{wide_layer}",
}


KERAS_PLACES = {
    "lambda layer": f"from tensorflow.keras import layers, models\n{{code}}\n"
    f"x = layers.Input((8, 8, 1))\ny = layers.Lambda(lambda v: {TRAP})(x)\n"
    "other = models.Model(x, y)\n",
    "own layer": "from tensorflow.keras import layers, models\n"
    f"class Own(layers.Layer):\n    def __init__(self):\n        {TRAP}\n"
    f"    def build(self, s): {TRAP}\n    def call(self, x): {TRAP}\n"
    "x = layers.Input((8, 8, 1))\nother = models.Model(x, Own()(x))\n{code}\n",
    "own model": "from tensorflow import keras\n"
    f"class Own(keras.Model):\n    def call(self, x): {TRAP}\nown = Own()\nown(3)\n{{code}}",
    "loader": "from tensorflow import keras\nkeras.models.load_model('TRAP')\n"
    "keras.models.model_from_json(open('TRAP', 'w').name)\n{code}",
    "generator of layers": "from tensorflow.keras import layers\n"
    "xs = [layers.Dense(10 ** 9) for _ in range(10 ** 9)]\n{code}",
    "endless model": "from tensorflow.keras import layers, models\nm = models.Sequential()\n"
    "while True:\n    m.add(layers.Conv2D(4, 3))\n{code}",
    "wide model": "from tensorflow.keras import layers, models\n"
    "x = layers.Input((8, 8, 1))\nfor _ in range(9000):\n    x = layers.concatenate([x, x])\n"
    "m = models.Model(x, x)\n{code}",
    "recursion": f"def f(n=[{TRAP}]): return f(n)\nf()\n{{code}}",
}
"""Further ones that code for Keras has."""


def hostile_keras(code: str) -> Iterator[str]:
    """Yield code that makes a model of Keras, once with a trap at each place."""
    own = ("{decorated}", "{code_before}", "{wide_layer}")
    plain = [form for form in PLACES.values() if not any(word in form for word in own)]
    for form in (*KERAS_PLACES.values(), *plain):
        yield form.replace("{code}", code).replace("{{", "{").replace("}}", "}")


def hostile(code: str) -> Iterator[str]:
    """Yield a definition, once with a trap at each place."""
    before, _, body = code.partition("class Small(nn.Module):")
    for form in PLACES.values():
        yield (
            form.replace("{decorated}", f"{before}@deco\nclass Small(nn.Module):{body}")
            .replace("{code_before}", before)
            .replace("{wide_layer}", code.replace("width=8", "width=10**9"))
            .replace("{code}", code)
            .replace("{body}", body)
            .replace("{{", "{")
            .replace("}}", "}")
        )
