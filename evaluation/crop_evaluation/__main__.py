"""python -m crop_evaluation STAGE: every step of the study. Training goes on where it was stopped."""
import argparse
import os
import sys

DEFAULT_CACHE = os.path.expanduser("~/.cache/crop-evaluation")
COUNTS = dict(train=12000, validation=300, test=600)
# Steps of each stage; a longer training is asked for with --steps and goes on from what there is.
STEPS = dict(encoder=2000, language=3000, localizer=4200, resampler=3000)


# Scene and question of the example that is shipped with the localizer.
EXAMPLE = (7, 13)


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
        stage.add_argument("--from-weights", action="store_true",
                           help="without a checkpoint, begin with the committed weights")
    stages.add_parser("train", help="data and all trainings").add_argument("--processes", type=int, default=2)
    stages.add_parser("export", help="write the trained weights into the repository")
    table = stages.add_parser("table", help="answer every question with the tokens of every method, selected over HTTP")
    table.add_argument("--check", action="store_true", help="compare with the committed table, exit 1 where a figure moved")
    table.add_argument("--scenes", type=int, help="fewer scenes, for a first look")
    rows = stages.add_parser("rows", help="print some rows of the table at some budgets; write nothing")
    rows.add_argument("names", nargs="+")
    rows.add_argument("--keep", type=int, nargs="+", default=[28, 14])
    rows.add_argument("--scenes", type=int)
    smoke = stages.add_parser("smoke", help="a few scenes at one budget, compared with their committed figures")
    smoke.add_argument("--update", action="store_true", help="commit to the figures of this run")
    stages.add_parser("variants", help="what CROP's default could be, on the validation split")
    compression = stages.add_parser("compression", help="answer every question with rows that /compress makes, learned and merged")
    compression.add_argument("--check", action="store_true", help="compare with the committed figures, exit 1 where one moved")
    stages.add_parser("localizer-figures", help="IoU and coverage of the shipped localizer")
    stages.add_parser("probes", help="what the encoder's features tell about questions that are answered badly")
    stages.add_parser("report", help="draw the plots of the report")
    example = stages.add_parser("example", help="write the example of the shipped localizer")
    example.add_argument("--scene", type=int, default=EXAMPLE[0])
    example.add_argument("--question", type=int, default=EXAMPLE[1])
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
    if arguments.stage in ("table", "rows", "smoke", "variants", "compression", "localizer-figures", "probes", "report",
                           "example"):
        sys.exit(measure(arguments))


def train_or_export(arguments):
    import torch

    from . import localizer, resampler, training, training_language, weights

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    trainings = dict(encoder=training.train_encoder, language=training_language.train, localizer=localizer.train,
                     resampler=resampler.train)
    models = os.path.join(weights.REPOSITORY, "config", "models")
    shipped = os.path.join(models, "scenes.safetensors")
    if arguments.stage == "export":
        # A localizer trained on the committed encoder leaves the other weights as they are.
        if os.path.exists(os.path.join(arguments.cache, "checkpoints", "language.pt")):
            weights.export(arguments.cache)
        # Each alone, so that a network trained on the committed model leaves the others as they are.
        for name, network, path in (("localizer", localizer, shipped),
                                    ("resampler", resampler, os.path.join(models, "scenes-resampler.safetensors"))):
            if os.path.exists(os.path.join(arguments.cache, "checkpoints", f"{name}.pt")):
                network.export(arguments.cache, path)
        return
    for name in trainings if arguments.stage == "train" else [arguments.stage]:
        initial = {}
        if getattr(arguments, "from_weights", False):
            initial = dict(initial=shipped if name == "localizer" else committed(name))
        trainings[name](arguments.cache, getattr(arguments, "steps", STEPS[name]), **initial)


def committed(stage):
    """The committed model, to begin a training stage with."""
    from . import weights

    whole, alignment = weights.load()
    if stage == "encoder":
        whole.language.embedding.weight.data.copy_(alignment)
    return whole.train()


def measure(arguments):
    """-> exit status"""
    import torch

    from . import compression, dataset, evaluate, example, probes, report

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    moved = []
    if arguments.stage != "smoke":
        for split, count in COUNTS.items():
            dataset.generate(arguments.cache, split, count, 2)
    if arguments.stage == "table":
        moved = evaluate.make_table(arguments.cache, arguments.check, arguments.scenes or evaluate.SCENES)
    elif arguments.stage == "rows":
        evaluate.print_rows(arguments.cache, arguments.names, arguments.keep, arguments.scenes or evaluate.SCENES)
    elif arguments.stage == "smoke":
        moved = evaluate.smoke(arguments.cache, arguments.update) + compression.smoke(arguments.cache, arguments.update)
    elif arguments.stage == "variants":
        evaluate.variants(arguments.cache)
    elif arguments.stage == "compression":
        moved = compression.make_table(arguments.cache, arguments.check)
    elif arguments.stage == "localizer-figures":
        print(evaluate.localizer_figures(arguments.cache))
    elif arguments.stage == "probes":
        print(probes.run(arguments.cache))
    elif arguments.stage == "report":
        report.draw(arguments.cache)
    else:
        print(example.write(arguments.cache, arguments.scene, arguments.question))
    for sentence in moved:
        print(f"moved: {sentence}")
    return 1 if moved else 0


if __name__ == "__main__":
    main()
