"""The C API against numbers computed by hand, and against values that break readers."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from serving import c_api
from serving.c_api import CSession, from_json, to_json
from serving.errors import InvalidArgument, NotFound, ServingError

# Up to 22 bytes are kept within a TF_TString, longer ones on the heap; none ends at a NUL.
STRINGS = [b"", b"a", b"x" * 22, b"x" * 23, b"a\0b\0", b"\xff\xfe no text", b"y" * 9999]
STRINGS += ["电影".encode()]


def strings(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Echo(tf.Module):
    """Gives back what it gets; a number may be turned around, so that rows are not columns."""

    _specs = (
        tf.TensorSpec([None, None], tf.string, "text"),
        tf.TensorSpec([None, None], tf.float32, "single"),
        tf.TensorSpec([], tf.int32, "scalar"),
        tf.TensorSpec([None], tf.int64, "long"),
    )

    @tf.function(input_signature=_specs)
    def echo(self, text, single, scalar, long):
        # `text` may share the input's buffer, `upper` has its own.
        turned, upper = tf.transpose(single), tf.strings.upper(text)
        return dict(text=text, upper=upper, turned=turned, scalar=scalar + 1, long=long)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "pairs")])
    def total(self, pairs):
        return {"total": tf.reduce_sum(pairs)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def parse(self, text):
        return {"number": tf.strings.to_number(text)}


@pytest.fixture(scope="module")
def echo_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("echo") / "1"
    echo = Echo()
    signatures = {"echo": echo.echo, "total": echo.total, "parse": echo.parse}
    tf.saved_model.save(echo, str(folder), signatures=signatures)
    return folder


@pytest.fixture(scope="module")
def toy(toy_model):
    with CSession(toy_model) as session:
        yield session


@pytest.fixture(scope="module")
def echo(echo_model):
    with CSession(echo_model) as session:
        yield session


def echo_inputs(**changed):
    inputs = {
        "text": strings(*STRINGS).reshape(2, 4),
        "single": np.array([[1, 2, 3], [4, 5, np.nan]], np.float32),
        "scalar": np.array(2**31 - 2, np.int32),
        "long": np.array([-(2**63), 2**63 - 1], np.int64),
    }
    return inputs | changed


def test_tables_are_filled_and_variables_restored(toy):
    outputs = toy.run(
        "serving_default",
        {
            "behaviour": strings(b"", b"ab", "电".encode(), b"x" * 100),
            "item": strings(b"first", b"second", "电影".encode(), b"never seen"),
        },
    )
    expected = np.array([1.0, 2.5 + 2, -3.0 + 3, 0.125 + 100])
    assert set(outputs) == {"rating", "click_probability"}
    assert outputs["rating"].dtype == np.float32
    np.testing.assert_allclose(outputs["rating"], expected, rtol=1e-6)
    np.testing.assert_allclose(outputs["click_probability"], sigmoid(expected), rtol=1e-6)


def test_an_empty_batch_has_empty_answers(toy):
    outputs = toy.run("serving_default", {"behaviour": strings(), "item": strings()})
    assert outputs["rating"].shape == outputs["click_probability"].shape == (0,)


def test_every_type_comes_back_as_sent(echo):
    inputs = echo_inputs()
    outputs = echo.run("echo", inputs)
    assert outputs["text"].shape == (2, 4)
    assert list(outputs["text"].ravel()) == STRINGS
    assert list(outputs["upper"].ravel()) == [text.upper() for text in STRINGS]
    np.testing.assert_array_equal(outputs["turned"], inputs["single"].T)
    assert outputs["scalar"].shape == ()
    assert outputs["scalar"] == 2**31 - 1
    assert outputs["long"].tolist() == [-(2**63), 2**63 - 1]
    assert outputs["scalar"].dtype == np.int32
    assert outputs["long"].dtype == np.int64


def test_an_array_that_is_not_contiguous_is_sent_by_its_values(echo):
    single = np.arange(12, dtype=np.float32).reshape(3, 4)[::-1, ::2]
    text = strings(*STRINGS).reshape(2, 4).T
    outputs = echo.run("echo", echo_inputs(single=single, text=text))
    np.testing.assert_array_equal(outputs["turned"], [[8, 4, 0], [10, 6, 2]])
    assert outputs["text"].tolist() == text.tolist()


def test_text_is_sent_as_utf8(echo):
    for text in (strings("电影", b"raw").reshape(1, 2), np.array([["电影", "raw"]])):
        outputs = echo.run("echo", echo_inputs(text=text))
        assert outputs["text"].tolist() == [["电影".encode(), b"raw"]]


@pytest.mark.parametrize("value", [None, 3, 2.5, [b"a"]])
def test_what_is_no_string_is_refused_by_name(echo, value):
    with pytest.raises(InvalidArgument, match="text"):
        echo.run("echo", echo_inputs(text=strings(b"x" * 50, value, b"").reshape(1, 3)))


def test_another_signature(toy):
    with pytest.raises(NotFound, match=r"'rank' is not one of \['serving_default'\]"):
        toy.run("rank", {})


@pytest.mark.parametrize("names", [["item"], ["behaviour", "item", "more"], []])
def test_other_inputs(toy, names):
    with pytest.raises(InvalidArgument, match=r"are \['behaviour', 'item'\], not"):
        toy.run("serving_default", {name: strings(b"a") for name in names})


@pytest.mark.parametrize(
    "value", [np.array([[1.0]]), np.array([[1]], np.int32), strings(b"1").reshape(1, 1)]
)
def test_another_type(echo, value):
    with pytest.raises(InvalidArgument, match=r"single is .*; send float32"):
        echo.run("echo", echo_inputs(single=value))


@pytest.mark.parametrize("shape", [(), (2,), (2, 3), (1, 2, 1)])
def test_another_shape_is_refused_before_the_graph_adds_it_up(echo, shape):
    with pytest.raises(InvalidArgument, match="pairs"):
        echo.run("total", {"pairs": np.ones(shape, np.float32)})
    assert echo.run("total", {"pairs": np.ones((3, 2), np.float32)})["total"] == 6


def test_what_the_graph_refuses_is_one_line(echo):
    with pytest.raises(InvalidArgument, match="twelve") as caught:
        echo.run("parse", {"text": strings(b"1", b"twelve")})
    assert "\n" not in str(caught.value)
    assert echo.run("parse", {"text": strings(b"12")})["number"].tolist() == [12.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no saved_model.pb"),
        (b"\xff" * 40, "cannot be loaded"),
        (b"", "serve"),  # a SavedModel without any graph, so without the tag
    ],
)
def test_no_model_in_the_folder(tmp_path, content, message):
    if content is not None:
        (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(NotFound if content is None else ServingError, match=message) as caught:
        CSession(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_closed_session_is_refused_and_closes_twice(toy_model):
    session = CSession(toy_model)
    session.close()
    session.close()
    with pytest.raises(ServingError, match="closed"):
        session.run("serving_default", {"behaviour": strings(b""), "item": strings(b"")})


def resident_kilobytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def test_strings_are_freed(echo):
    big = echo_inputs(text=strings(*[b"z" * 100_000] * 20).reshape(1, 20))
    for _ in range(5):
        echo.run("echo", big)
    before = resident_kilobytes()
    for _ in range(50):  # 2 MB each: 100 MB if an input or output were kept
        echo.run("echo", big)
    assert resident_kilobytes() - before < 30_000


def test_json_keeps_every_bit():
    arrays = {
        "s": strings(*STRINGS).reshape(4, 2),
        "f": np.array([0.1, 1 / 3, 3e-45], np.float32),
        "i": np.array(2**31 - 1, np.int32),
        "l": np.array([[-(2**63)]], np.int64),
        "none": np.zeros((0, 3), np.float32),
    }
    again = from_json(json.loads(json.dumps(to_json(arrays))))
    for name, array in arrays.items():
        assert again[name].dtype == array.dtype
        assert again[name].shape == array.shape
        assert again[name].tolist() == array.tolist()


@pytest.mark.parametrize(
    ("dtype", "size", "data"),
    [
        ("string", 2, ["one"]),
        ("string", 1, [5]),
        ("string", 1, ["\ud800"]),
        ("string", 1, [{"b64": "no base64!"}]),
        ("string", 1, [{"c": ""}]),
        ("float32", 1, ["x"]),
        ("nothing", 1, [1]),
        ("object", 1, [1]),
        ("int32", 1, [2**31]),
        ("int32", 1, [1.5]),
    ],
)
def test_json_that_is_no_array(dtype, size, data):
    for entry in ({"dtype": dtype, "shape": [size], "data": data}, {"dtype": dtype}, data):
        with pytest.raises(InvalidArgument, match="input name cannot be read"):
            from_json({"name": entry})


def process(*arguments, text=""):
    words = [sys.executable, *(str(argument) for argument in arguments)]
    return subprocess.run(words, input=text, capture_output=True, text=True, check=False)


def test_command(toy_model):
    body = {
        "behaviour": {"dtype": "string", "shape": [2], "data": ["电", ""]},
        "item": {"dtype": "string", "shape": [2], "data": ["second", {"b64": "Zmlyc3Q="}]},
    }
    done = process("-m", "serving.c_api", toy_model, "serving_default", text=json.dumps(body))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["rating"] == {"dtype": "float32", "shape": [2], "data": [5.5, 1.0]}
    np.testing.assert_allclose(
        answer["click_probability"]["data"], sigmoid(np.array([5.5, 1.0])), rtol=1e-6
    )


def test_the_process_imports_no_tensorflow_python(toy_model):
    code = (
        "import sys, pathlib, numpy as np\n"
        "from serving.c_api import CSession\n"
        "text = np.array([b'first'], dtype=object)\n"
        "with CSession(pathlib.Path(sys.argv[1])) as session:\n"
        "    out = session.run('serving_default', {'behaviour': text, 'item': text})\n"
        "print(out['rating'].tolist(), [m for m in ('tensorflow', 'keras', 'google.protobuf')"
        " if m in sys.modules])\n"
    )
    done = process("-c", code, toy_model)
    assert done.stdout.strip() == "[6.0] []", done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "inputs of serving_default"),
        ('{"item": 3}', "input item cannot be read"),
    ],
)
def test_main_refuses_on_one_line(monkeypatch, capsys, toy_model, text, message):
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert c_api.main([str(toy_model), "serving_default"]) == 2
    err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(err) == 1
    assert message in err[0]


def test_main_without_arguments(capsys):
    assert c_api.main([]) == 2
    assert "usage" in capsys.readouterr().err
