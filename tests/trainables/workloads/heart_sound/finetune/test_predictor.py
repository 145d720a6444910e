"""Verdicts on new recordings: those of the evaluation, or a reason why there is none."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from data_pipelines.heart_sounds.datasets.synthetic import RATE, generate_heart_sound
from data_pipelines.heart_sounds.pipeline import HeartPipeline
from data_pipelines.heart_sounds.sources import list_recordings
from data_pipelines.prepared.prepare import prepare
from data_pipelines.prepared.ray_dataset import open_split
from data_pipelines.readers.bad_file import BadFileError
from data_pipelines.storage.folder import Folder
from ray_jobs import cli
from tests.data_pipelines.heart_sounds.heart_files import write_circor, write_wav
from tests.trainables.workloads.heart_sound.finetune.conftest import RULE
from trainables.contract.input_files import describe_input
from trainables.workloads.heart_sound.finetune.aggregation import Answers, separate

STATES = "0.1 0.2 1\n0.2 0.4 2\n0.4 0.5 3\n0.5 0.8 4\n0.8 0.9 1\n0.9 1.1 2\n1.1 1.2 3\n1.2 1.5 4\n1.5 1.6 1\n"
LABELS = ["Present", "Absent", "Unknown", "Absent"]


@pytest.fixture(scope="module")
def circor(tmp_path_factory):
    """Eight patients with two recordings each; the last one's states are of another form."""
    root = tmp_path_factory.mktemp("circor")
    patients = {str(100 + n): {"Murmur": LABELS[n % 4], "Outcome": "Normal"} for n in range(8)}
    write_circor(root, patients, states=STATES)
    for file in root.glob("107_*.tsv"):
        file.write_text("of another form")
    return root


@pytest.fixture(scope="module")
def window_model(save_untrained):
    """Folder of a model of windows."""
    return save_untrained(unit="window", window_s=0.5, hop_s=0.2)


@pytest.fixture(scope="module")
def pooled_model(save_untrained):
    """Folder of a model that pools otherwise than by the mean of logits."""
    return save_untrained(pooling={"cycles": "probabilities", "recordings": "noisy_or"})


@pytest.fixture(scope="module")
def attention_model(save_untrained):
    """Folder of a model with attention whose scores differ between cycles."""
    return save_untrained(pooling={"cycles": "attention"}, cycles_per_bag=3)


def beats(seconds: float = 6.0, *, rate: int = RATE) -> np.ndarray:
    made = generate_heart_sound(np.random.default_rng(1), duration_s=seconds, beats_per_min=80, murmur=0.05)
    times = np.arange(round(seconds * rate)) / rate
    return np.interp(times, np.arange(len(made.sound.samples)) / RATE, made.sound.samples)


def evaluate(predictor, circor: Path, place: Path) -> tuple[Answers, list[str], list[str]]:
    """Answers by cycle over prepared shards, with the names of the recordings and of the patients by number."""
    data = predictor.model.workload.data.model_copy(update={"circor": circor})
    pipeline = HeartPipeline(data, "circor_murmur")
    folder = Folder(str(place / pipeline.key))
    manifest = prepare(pipeline, folder, rows_per_shard=3)
    outputs, fields = [], []
    for split in ("train", "val", "test"):
        opened = open_split(folder, manifest, split)
        for piece in opened.whole():
            batch = pipeline.collate(opened.load(piece.shard, pipeline))
            outputs.append(predictor.task.module(batch["signal"]).double())
            fields.append(torch.stack([batch[name] for name in ("label", "patient", "recording", "is_good")], dim=1))
    config = predictor.model.workload
    logits, scores = separate(torch.cat(outputs).numpy(), 3)
    answers = Answers(logits, *torch.cat(fields).numpy().T, scores=scores, pooling=config.pooling)
    recordings = list_recordings(data, "circor_murmur")
    patients = list(dict.fromkeys(each.scored_as.removeprefix("circor:") for each in recordings))
    return answers, [each.name for each in recordings], patients


@pytest.mark.parametrize("kind", ["murmur", "window", "pooled", "attention"])
def test_answers_are_those_of_the_evaluation(kind, load, circor, tmp_path, request):
    predictor = load(request.getfixturevalue(f"{kind}_model"), min_quality=-1)
    cycles, names, patients = evaluate(predictor, circor, tmp_path)
    recordings, whole = cycles.by_recording(), cycles.by_patient()
    found = predictor.predict([circor / f"{name}.wav" for name in names])
    assert len(found) == 16 and np.ptp([answer.probabilities["Unknown"] for answer in found]) > 0.02
    for number, answer in enumerate(found):
        assert answer.reason is None and answer.name.endswith(f"{names[number]}.wav")
        mine = cycles.where(cycles.recording == number).probabilities
        assert np.array([list(each.probabilities.values()) for each in answer.cycles]) == pytest.approx(mine, abs=1e-5)
        row = recordings.probabilities[recordings.recording == number][0]
        assert list(answer.probabilities.values()) == pytest.approx(row, abs=1e-5)
        assert answer.answer == ["Present", "Unknown", "Absent"][(row * RULE).argmax()]
        assert answer.is_annotated == ("107" not in names[number])
    for number, patient in enumerate(patients):
        pooled = predictor.pool([answer for answer in found if answer.patient == patient])
        row = whole.probabilities[whole.patient == number][0]
        assert pooled.num_recordings == 2
        assert list(pooled.probabilities.values()) == pytest.approx(row, abs=1e-5)


def test_cycles_say_how_much_they_count(load, attention_model, murmur_predictor, circor):
    [answer] = load(attention_model).predict([circor / "107_AV.wav"])
    weights = [each.weight for each in answer.cycles]
    assert sum(weights) == pytest.approx(1) and max(weights) > 1.5 * min(weights) > 0
    logs = sum(each.weight * np.log([*each.probabilities.values()]) for each in answer.cycles)
    assert [*answer.probabilities.values()] == pytest.approx(np.exp(logs) / np.exp(logs).sum(), rel=1e-6)
    assert {each.weight for each in murmur_predictor.predict([circor / "107_AV.wav"])[0].cycles} == {None}


def test_annotated_states_cut_the_cycles(murmur_predictor, circor):
    annotated, detected = murmur_predictor.predict([circor / "100_AV.wav", circor / "107_AV.wav"])
    assert [(each.start_s, each.end_s) for each in annotated.cycles] == [(0.1, 0.8), (0.8, 1.5)]
    assert annotated.heart_rate_bpm == pytest.approx(60 / 0.7)
    assert detected.heart_rate_bpm == pytest.approx(75, rel=0.06) and not detected.is_annotated


@pytest.mark.parametrize(
    ("samples", "reason", "num_cycles"),
    [
        (np.zeros(4 * RATE), "silent: there is no sound", 0),
        (beats(0.5), "too short: it lasts 0.50 s, and at least 0.54 s are needed", 0),
        (beats(0.7), "no heart cycles found", 0),
        (np.random.default_rng(3).normal(size=20 * RATE), "noise: the cycles found are not alike", None),
        ((20 * beats()).clip(-1, 1), "clipped: ", None),
    ],
    ids=["silent", "short", "one beat", "noise", "clipped"],
)
def test_what_cannot_be_judged_says_why(samples, reason, num_cycles, murmur_predictor):
    answer = murmur_predictor.predict([(samples, RATE)])[0]
    assert answer.reason is not None and answer.reason.startswith(reason)
    assert answer.answer is None and answer.probabilities == {}
    assert all(each.probabilities == {} for each in answer.cycles)
    assert len(answer.cycles) == num_cycles if num_cycles is not None else len(answer.cycles) > 4
    assert answer.duration_s == pytest.approx(len(samples) / RATE)


def test_windows_need_a_whole_one(load, window_model):
    predictor = load(window_model, min_quality=-1)
    short, long = predictor.predict([(beats(0.4), RATE), (beats(3.0), RATE)])
    assert short.reason == "too short: it lasts 0.40 s, and at least 0.5 s are needed"
    assert [each.start_s for each in long.cycles] == pytest.approx([0.2 * number for number in range(13)])


def test_noise_is_judged_when_the_user_wants_it(load, murmur_model):
    noise = np.random.default_rng(3).normal(size=20 * RATE)
    answer = load(murmur_model, min_quality=-1).predict([(noise, RATE)])[0]
    assert answer.reason is None and answer.answer is not None and answer.signal_quality < 0.15


def test_files_and_arrays_of_any_form_are_one_sound(murmur_predictor, tmp_path):
    samples = np.round(20000 * beats(rate=44_100)).astype(np.int16)
    wavfile.write(tmp_path / "mono.wav", 44_100, samples)
    wavfile.write(tmp_path / "stereo.wav", 44_100, np.stack([samples, samples], axis=1))
    forms = [
        tmp_path / "mono.wav",
        str(tmp_path / "stereo.wav"),
        (samples, 44_100),
        (torch.from_numpy(samples.astype(np.float32)), 44_100.0),
        [np.stack([samples, samples], axis=1), np.int64(44_100)],
    ]
    answers = murmur_predictor.predict(forms)
    assert answers[0].reason is None and len(answers[0].cycles) >= 6
    assert [answer.patient for answer in answers[:3]] == ["mono", "stereo", "recording 3"]
    for answer in answers[1:]:
        assert list(answer.probabilities.values()) == pytest.approx(list(answers[0].probabilities.values()), abs=1e-3)
        assert [each.start_s for each in answer.cycles] == [each.start_s for each in answers[0].cycles]


@pytest.mark.parametrize(
    ("recording", "words"),
    [
        ((np.zeros((2, 4000)), 4000), r"recording 1: has the shape \[2, 4000\]; expected \[count, channels\]"),
        ((np.full(4000, np.nan), 4000), "recording 1: 4000 of its samples are no finite number"),
        ((np.array(["a"]), 4000), "expected numbers"),
        ((np.array([]), 4000), "expected numbers"),
        ((np.zeros(4000), 44.1), "recording 1: the sample rate is 44.1; expected a whole number of Hz"),
        ((np.zeros(4000), True), "the sample rate is True"),
        ((np.zeros(4000), 500), "the sample rate is 500 Hz, expected at least 1000"),
        (np.zeros(4000), "recording 1 is a ndarray; expected a path, or"),
    ],
)
def test_what_is_no_recording_is_refused(recording, words, murmur_predictor):
    with pytest.raises(ValueError, match=words):
        murmur_predictor.predict([recording])


def test_a_damaged_file_is_refused_by_name(murmur_predictor, tmp_path):
    (tmp_path / "text.wav").write_text("no sound at all")
    with pytest.raises(BadFileError, match=r"text\.wav: cannot be read as sound"):
        murmur_predictor.predict_input(describe_input(Folder(str(tmp_path)), "text.wav"))
    with pytest.raises(BadFileError, match="is missing"):
        murmur_predictor.predict([tmp_path / "none.wav"])


def table_of(file: Path) -> list[dict[str, str]]:
    with file.open() as stream:
        return list(csv.DictReader(stream))


def test_a_folder_is_predicted_by_one_command(murmur_model, circor, tmp_path, capsys):
    wavs = tmp_path / "wavs"
    for name in ("100_AV", "100_MV", "101_AV"):
        for ending in (".wav", ".tsv"):
            (wavs / "deep").mkdir(parents=True, exist_ok=True)
            (wavs / "deep" / f"{name}{ending}").write_bytes((circor / f"{name}{ending}").read_bytes())
    wavfile.write(wavs / "silence.wav", 4000, np.zeros(8000, np.int16))
    (wavs / "text.wav").write_text("no sound at all")
    words = ["predict", murmur_model, "--input", str(wavs), "--out", str(tmp_path / "out"), "--challenge-output"]
    assert cli.main([*words, "--pictures"]) != 0
    assert "text.wav: cannot be read as sound" in capsys.readouterr().err
    (wavs / "text.wav").unlink()
    assert cli.main([*words, "--pictures", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["predicted"] == 0 and result["done_before"] == 4
    rows, patients = (table_of(tmp_path / "out" / name) for name in ("predictions.csv", "patients.csv"))
    assert [row["input"] for row in rows] == ["deep/100_AV.wav", "deep/100_MV.wav", "deep/101_AV.wav", "silence.wav"]
    assert rows[0]["patient"] == "100" and rows[0]["num_cycles"] == "2" and rows[0]["is_annotated"] == "True"
    assert sum(float(rows[0][f"p({name})"]) for name in ("Present", "Unknown", "Absent")) == pytest.approx(1)
    assert rows[3]["answer"] == rows[3]["p(Present)"] == "" and rows[3]["reason"].startswith("silent")
    assert [(row["patient"], row["num_recordings"]) for row in patients] == [
        ("100", "2"),
        ("101", "1"),
        ("silence", "1"),
    ]
    assert patients[2]["num_without_verdict"] == "1" and patients[2]["answer"] == ""
    logs = np.log([[float(row[f"p({name})"]) for name in LABELS[:3]] for row in rows[:2]]).mean(axis=0)
    expected = np.exp(logs) / np.exp(logs).sum()
    assert [float(patients[0][f"p({name})"]) for name in LABELS[:3]] == pytest.approx(expected)
    files = {file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*.*")}
    assert {"challenge/100.csv", "challenge/silence.csv", "pictures/deep/100_AV.wav.png"} < files


def test_changed_states_are_predicted_again(murmur_model, circor, tmp_path, capsys):
    wavs = tmp_path / "wavs"
    wavs.mkdir()
    for name in ("100_AV.wav", "100_AV.tsv", "101_AV.wav"):
        (wavs / name).write_bytes((circor / name).read_bytes())
    words = ["predict", murmur_model, "--input", str(wavs), "--out", str(tmp_path / "out"), "--json"]
    assert cli.main(words) == 0
    (wavs / "100_AV.tsv").write_text(STATES + "1.6 2.2 2\n2.2 2.3 1\n")
    assert cli.main(words) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["predicted"] == 1
    assert table_of(tmp_path / "out" / "predictions.csv")[0]["num_cycles"] == "3"


def test_files_of_no_challenge_are_refused_at_once(load, save_untrained, tmp_path):
    write_wav(tmp_path / "a.wav")
    predictor = load(save_untrained("pascal"), challenge_output=True)
    with pytest.raises(ValueError, match=r"no challenge has the task pascal of this model; it is for circor_murmur"):
        type(predictor).find_inputs(predictor.model, Folder(str(tmp_path)), predictor.options)
