"""Output files in the form of the challenges, for their own scoring programs.

CirCor, George B. Moody PhysioNet Challenge 2022: `<patient>.csv` of four lines, as `save_challenge_outputs` of the
official `helper_code.py` writes and `evaluate_model.py` reads them: `#<patient>`, the classes, 0 or 1 for each class,
and a probability for each class, joined by commas. The classes may be those of one task alone, in any order. A patient
without a verdict gets no positive class and the probabilities `nan`: the scorer then counts Present, or Abnormal.

PhysioNet/CinC Challenge 2016: `answers.txt` with a line `<record>,<answer>` for each record, as the sample entry's
`next.sh` and `generateValidationSet.m` write it: 1 abnormal, -1 normal, 0 unsure. A record without a verdict is unsure.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

from data_pipelines.heart_sounds.tasks import TaskName
from trainables.contract.prediction import Row
from trainables.workloads.heart_sound.finetune.inference.answers import PatientAnswer

FOLDER = "challenge"
_CIRCOR_CLASSES = {"circor_murmur": ("Present", "Unknown", "Absent"), "circor_outcome": ("Abnormal", "Normal")}
_PHYSIONET_ANSWERS = {"abnormal": "1", "normal": "-1", None: "0"}


def refuse_other_task(task: TaskName) -> None:
    """Raise ValueError for a task whose challenge has no such files."""
    known = [*_CIRCOR_CLASSES, "physionet2016"]
    if task not in known:
        raise ValueError(
            f"--challenge-output: no challenge has the task {task} of this model; it is for {', '.join(known)}"
        )


def challenge_files(task: TaskName, rows: Sequence[Row], patients: Sequence[PatientAnswer]) -> dict[str, bytes]:
    """Return the content of the files by name.

    Raises:
        ValueError: Two files of PhysioNet 2016 are the same record.
    """
    if task == "physionet2016":
        return {f"{FOLDER}/answers.txt": _answers(rows)}
    return {f"{FOLDER}/{each.patient}.csv": _patient_file(each, _CIRCOR_CLASSES[task]) for each in patients}


def _patient_file(answer: PatientAnswer, classes: Sequence[str]) -> bytes:
    lines = [
        f"#{answer.patient}",
        ",".join(classes),
        ",".join(str(int(name == answer.answer)) for name in classes),
        ",".join(str(answer.probabilities.get(name, float("nan"))) for name in classes),
    ]
    return ("\n".join(lines) + "\n").encode()


def _answers(rows: Sequence[Row]) -> bytes:
    lines: dict[str, str] = {}
    for row in rows:
        record = PurePosixPath(str(row["input"])).stem
        if record in lines:
            raise ValueError(
                f"--challenge-output: {row['input']} is a second record {record}; predict its folder alone"
            )
        lines[record] = _PHYSIONET_ANSWERS[None if row["answer"] is None else str(row["answer"])]
    return "".join(f"{record},{answer}\n" for record, answer in lines.items()).encode()
