"""python -m crop_evaluation STAGE: every step of the study. Training goes on where it was stopped."""
import argparse
import os

DEFAULT_CACHE = os.path.expanduser("~/.cache/crop-evaluation")
COUNTS = dict(train=12000, validation=300, test=600)
# Steps of each stage; a longer training is asked for with --steps and goes on from what there is.
STEPS = dict(encoder=1400, language=1400, localizer=700)


def main():
    parser = argparse.ArgumentParser(prog="python -m crop_evaluation", description=__doc__)
    parser.add_argument("--cache", default=os.environ.get("CROP_EVALUATION", DEFAULT_CACHE),
                        help="where data and checkpoints lie (default: %(default)s)")
    stages = parser.add_subparsers(dest="stage", required=True)
    data = stages.add_parser("data", help="generate the scenes and questions")
    data.add_argument("--processes", type=int, default=2)
    for name, steps in STEPS.items():
        stage = stages.add_parser(name, help=f"train the {name}")
        stage.add_argument("--steps", type=int, default=steps)
    stages.add_parser("train", help="data and all three trainings").add_argument("--processes", type=int, default=2)
    stages.add_parser("export", help="write the trained weights into the repository")
    stages.add_parser("sheet", help="draw some scenes of the table with their questions").add_argument("path")
    arguments = parser.parse_args()
    if arguments.stage in ("data", "train"):
        from . import dataset
        for split, count in COUNTS.items():
            dataset.generate(arguments.cache, split, count, arguments.processes)
    if arguments.stage == "sheet":
        from . import sheet
        sheet.draw(arguments.cache, arguments.path)
    if arguments.stage in (*STEPS, "train", "export"):
        train_or_export(arguments)


def train_or_export(arguments):
    import torch

    from . import localizer, training, training_language, weights

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    trainings = dict(encoder=training.train_encoder, language=training_language.train, localizer=localizer.train)
    if arguments.stage == "export":
        weights.export(arguments.cache)
        localizer.export(arguments.cache, os.path.join(weights.REPOSITORY, "config", "models", "scenes.safetensors"))
        return
    for name in trainings if arguments.stage == "train" else [arguments.stage]:
        trainings[name](arguments.cache, getattr(arguments, "steps", STEPS[name]))


if __name__ == "__main__":
    main()
