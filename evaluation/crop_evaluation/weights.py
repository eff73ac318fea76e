"""The trained networks as float16 safetensors in the repository, and from a training's checkpoints."""
import json
import os

import torch

from . import model

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(REPOSITORY, "evaluation", "weights")
FILE = os.path.join(FOLDER, "vision_language_model.safetensors")


def from_checkpoints(cache):
    """-> (model, {stage: steps, history})"""
    whole = model.VisionLanguageModel()
    about = {}
    encoder = torch.load(os.path.join(cache, "checkpoints", "encoder.pt"), weights_only=False)
    whole.encoder.load_state_dict(encoder["modules"]["encoder"])
    whole.heads.load_state_dict(encoder["modules"]["heads"])
    language = torch.load(os.path.join(cache, "checkpoints", "language.pt"), weights_only=False)
    whole.projector.load_state_dict(language["modules"]["projector"])
    whole.language.load_state_dict(language["modules"]["language"])
    about["encoder"] = dict(steps=encoder["step"], history=encoder["history"])
    about["language"] = dict(steps=language["step"], history=language["history"])
    # The localizer and the methods that compare words with patches use the embeddings the encoder was trained with.
    about["alignment"] = encoder["modules"]["embedding"]["weight"]
    return whole.eval(), about


def export(cache):
    """Write the model of the checkpoints to FILE, and its learning curves beside it."""
    from safetensors.torch import save_file

    whole, about = from_checkpoints(cache)
    tensors = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in whole.state_dict().items()}
    tensors["alignment"] = about.pop("alignment").half()
    os.makedirs(FOLDER, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, FILE)
    os.chmod(FILE, 0o644)
    curves = {stage: [{key: round(value, 4) for key, value in row.items()} for row in part["history"]]
              for stage, part in about.items()}
    with open(os.path.join(FOLDER, "curves.json"), "w") as file:
        file.write("{" + ",\n".join(f'"{stage}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "]"
                                    for stage, rows in curves.items()) + "}\n")


def load(path=FILE):
    """-> (model in float32, the words' embeddings the encoder was trained with)"""
    from safetensors.torch import load_file

    tensors = load_file(path)
    alignment = tensors.pop("alignment").float()
    whole = model.VisionLanguageModel()
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    missing, unexpected = whole.load_state_dict(state, strict=False)
    # Neighbourhoods begin as the identity, so weights from before there were any mean what they meant.
    if unexpected or any("neighbourhoods" not in name for name in missing):
        raise ValueError(f"{path} is of another model: {missing + unexpected}")
    return whole.eval(), alignment
