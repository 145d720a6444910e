"""Sound files with a table of their subjects and labels."""

import logging
from pathlib import Path

import pytest

from data_pipelines.heart_sounds.config import HeartData, PretrainData
from data_pipelines.heart_sounds.pipeline import HeartPipeline
from data_pipelines.heart_sounds.sources import list_recordings, split_by_subject
from data_pipelines.prepared.prepare import prepare
from data_pipelines.storage.folder import Folder
from tests.data_pipelines.heart_sounds.heart_files import write_wav

CLASSES = ("normal", "murmur")


def make(root: Path, table: str, names: tuple[str, ...] = ("a/1.wav", "a/2.wav", "b/1.wav", "c.wav")) -> HeartData:
    for number, name in enumerate(names):
        write_wav(root / "sounds" / name, seed=number)
    (root / "labels.csv").write_text(table)
    places = {"folder": root / "sounds", "labels": root / "labels.csv"}
    return HeartData.model_validate({**places, "classes": CLASSES, "sample_rate": 1000, "num_samples": 128})


def test_files_get_subject_and_label_and_others_are_told(tmp_path, caplog):
    data = make(tmp_path, "label,subject,file\nnormal,Anna,a/1.wav\nmurmur,Bea,2.wav\nnormal,Anna,b/1.wav\n")
    with caplog.at_level(logging.WARNING):
        found = list_recordings(data, "labelled")
    assert [(each.name, each.subject, each.labels["labelled"]) for each in found] == [
        ("a/1", "folder:Anna", "normal"),
        ("a/2", "folder:Bea", "murmur"),
        ("b/1", "folder:Anna", "normal"),
    ]
    assert "1 of 4 files have no row there, and are not used by the task: c.wav" in caplog.text


@pytest.mark.parametrize("written", ["e\u0301te\u0301.WAV", "\xe9t\xe9.wav", "./a/\xe9t\xe9.wav", "a\\\xe9t\xe9.Wav"])
@pytest.mark.parametrize("stored", ["a/e\u0301te\u0301.wav", "a/\xe9t\xe9.WAV"])
def test_a_file_is_named_in_any_spelling_of_accents_and_ending(tmp_path, caplog, stored, written):
    data = make(tmp_path, f"file,subject,label\n{written},Anna,murmur\nb.wav,Bea,normal\n", (stored, "b.wav"))
    found = list_recordings(data, "labelled")
    assert [each.subject for each in found] == ["folder:Anna", "folder:Bea"] and not caplog.text


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,subject\nc.wav,Anna\n", "has no column label"),
        ("file,subject,label\nc.wav,Anna,loud\n", "c.wav has the label 'loud', and .*classes` are normal, murmur"),
        ("file,subject,label\nc.wav,A,\n2.wav,B,normal\na/1.wav,A,\n", "no label in line 2, 4; fill it in, or remove"),
        ("file,subject,label\nd.wav,Anna,normal\n", "names none of the 4 sound files, such as a/1.wav"),
        ("file,subject,label\nc.wav,A,normal\nc.wav,A,murmur\n", "line 3 gives c.wav the label 'murmur'"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(table, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        list_recordings(make(tmp_path, table), "labelled")


def test_further_columns_of_the_table_are_subgroups(tmp_path):
    table = "file,subject,label,sex,ward\na/1.wav,A,normal,F,\n2.wav,B,murmur,M,north\nc.wav,C,normal,,\n"
    data = make(tmp_path, table)
    pipeline = HeartPipeline(data.model_copy(update={"subgroups": ("sex", "ward")}), "labelled")
    groups = {each.name: dict(each.groups) for each in list_recordings(pipeline.data, "labelled")}
    assert groups == {"a/1": {"sex": "F"}, "a/2": {"sex": "M", "ward": "north"}, "c": {}}
    assert pipeline.data_spec()["groups"] == {"sex": ["F", "M", None], "ward": [None, "north", None]}
    assert HeartPipeline(data, "labelled").key != pipeline.key


def test_a_subgroup_that_the_table_lacks_is_refused(tmp_path):
    data = make(tmp_path, "file,subject,label\nc.wav,A,normal\n").model_copy(update={"subgroups": ("sex",)})
    with pytest.raises(ValueError, match="has no column sex"):
        list_recordings(data, "labelled")
    with pytest.raises(ValueError, match="`subgroups` are columns of `labels`, which is not given"):
        HeartData(subgroups=("sex",))


def test_labels_need_their_folder_and_classes(tmp_path):
    for given in ({"folder": tmp_path}, {"classes": CLASSES}, {"folder": tmp_path, "classes": ("normal",)}):
        with pytest.raises(ValueError, match="`labels` needs `folder`, its sound files, and `classes`"):
            HeartData.model_validate({"labels": tmp_path / "labels.csv", **given})
    with pytest.raises(ValueError, match=r"needs `workload\.data\.labels`"):
        list_recordings(HeartData(folder=tmp_path), "labelled")


def test_recordings_are_stored_once_for_any_table(tmp_path, caplog):
    names = tuple(f"{n}.wav" for n in range(12))
    rows = [f"{name},s{n // 2},{CLASSES[n // 2 % 2]}" for n, name in enumerate(names)]
    data = make(tmp_path, "\n".join(["file,subject,label", *rows]), names)
    first = HeartPipeline(data, "labelled")
    manifest = prepare(first, Folder(str(tmp_path / "p" / first.key)))
    assert manifest.data_spec["class_names"] == list(CLASSES)
    assert sorted(manifest.data_spec["recordings"]) == sorted(f"folder/{n}" for n in range(12))
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "p").glob("heart-recordings-*/*.parquet")}
    (tmp_path / "labels.csv").write_text("\n".join(["file,subject,label", *rows[:-2]]))
    second = HeartPipeline(data.model_copy(update={"split_seed": 3}), "labelled")
    assert prepare(second, Folder(str(tmp_path / "p" / second.key))).data_spec["recordings"][-1] == "folder/9"
    assert files and files == {path: path.stat().st_mtime_ns for path in files}
    assert caplog.text.count("files have no row there") == 1


def test_pretraining_withholds_the_test_subjects_of_a_table(tmp_path):
    names = tuple(f"{n}.wav" for n in range(20))
    rows = [f"{name},s{n // 2},{CLASSES[n // 2 % 2]}" for n, name in enumerate(names)]
    data = make(tmp_path, "\n".join(["file,subject,label", *rows]), names)
    tested = set(split_by_subject(data, "labelled", list_recordings(data, "labelled"))["test"])
    shared = data.model_dump(include={"folder", "labels", "classes", "test_ratio"})
    pretraining = PretrainData.model_validate({**shared, "withheld_tasks": ["labelled"]})
    subjects = split_by_subject(pretraining, None, list_recordings(pretraining, None))
    assert tested and not tested & {name for each in subjects.values() for name in each}
    assert len(tested) + sum(map(len, subjects.values())) == 10
