"""The example of config/models: features of one scene and the words of one question, as a request for POST /localize."""
import json
import os

import torch

from . import dataset, model, vocabulary, weights

PATH = os.path.join(weights.REPOSITORY, "Examples", "scene_question.safetensors")


def write(cache, index, place, path=PATH):
    """Question `place` of scene `index` of the table's split. -> what it asks, beside it as JSON"""
    from safetensors.torch import save_file

    whole, alignment = weights.load()
    data = dataset.load(cache, "test")
    row = data["answers"][index][place]
    words = data["words"][index][place][:row[2]].tolist()
    with torch.no_grad():
        features = whole.encoder(model.pixels(data["images"][index][None]))[0][0, 1:]
    parameters = {"layout": {"type": "grid", "rows": 16, "columns": 16}, "localize": {"source": "model", "model": "scenes"}}
    save_file({"image_features": features.half().contiguous(), "text_features": alignment[words].half().contiguous()}, path,
              metadata={"parameters": json.dumps(parameters)})
    os.chmod(path, 0o644)
    about = dict(question=" ".join(vocabulary.WORDS[word] for word in words), answer=vocabulary.WORDS[row[0]],
                 evidence=row[3:7].tolist(), scene=int(index))
    with open(path.replace(".safetensors", ".json"), "w") as file:
        file.write(json.dumps(about) + "\n")
    return about
