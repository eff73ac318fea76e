"""The networks of the study. Needs torch (`evaluation/run.sh pytest`), and is skipped without it."""
import os
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from crop_evaluation import localizer, model, prefill, probes, resampler, training, training_language, vocabulary, weights  # noqa: E402

sys.path.insert(0, os.path.join(weights.REPOSITORY, "tools", "models"))
import networks  # noqa: E402


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(4)
    torch.set_num_threads(1)


def packed_example(questions=3):
    whole = model.VisionLanguageModel().eval()
    for layer in whole.language.layers:
        # Larger than at the start of training, so that a wrong mask or position shows.
        layer.out.weight.data.normal_(std=0.2)
    words = torch.randint(1, len(vocabulary.WORDS), (2, questions, vocabulary.QUESTION_LENGTH))
    lengths = torch.randint(3, vocabulary.QUESTION_LENGTH + 1, (2, questions))
    return whole, torch.randn(2, model.PATCHES, model.WIDTH), words, lengths


def test_the_localizer_computes_the_equations_that_the_service_documents():
    network = localizer.Localizer().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    image, text = torch.randn(1, 256, 128), torch.randn(1, 7, 128)
    weights_by_name = {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}
    shapes = networks.localizer_shapes(localizer.CONFIGURATION)
    assert {name: array.shape for name, array in weights_by_name.items()} == shapes
    centres = [((column + 0.5) / 16, (row + 0.5) / 16) for row in range(16) for column in range(16)]
    for words in (3, 7):
        expected = networks.localizer_scores(weights_by_name, localizer.CONFIGURATION, image[0].double().numpy(),
                                             text[0, :words].double().numpy(), centres)
        with torch.no_grad():
            scores = network(image, text, torch.tensor([words])).sigmoid()[0].numpy()
        assert np.abs(scores - expected).max() < 1e-4


def test_questions_that_are_packed_do_not_see_each_other():
    whole, visual, words, lengths = packed_example()
    places = torch.arange(model.PATCHES).expand(2, -1)
    with torch.no_grad():
        together = whole.answer(visual, places, words, lengths)
        for question in range(words.shape[1]):
            one = slice(question, question + 1)
            alone = whole.answer(visual, places, words[:, one], lengths[:, one])
            assert torch.allclose(together[:, one], alone, atol=1e-3)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_prefill_in_parts_is_prefill_when_every_token_stays(depth):
    whole, visual, words, lengths = packed_example()
    places = torch.arange(model.PATCHES).expand(2, -1)
    with torch.no_grad():
        expected = whole.answer(visual, places, words, lengths).argmax(-1)
        prefix = prefill.run_prefix(whole, visual, words, depth)
        for image in range(2):
            rows = prefix.visual[image:image + 1].expand(words.shape[1], -1, -1)
            said = prefill.finish(whole, rows, places[:1].expand(len(rows), -1), prefix.words[image], lengths[image], depth)
            assert (said == expected[image]).all()
    assert torch.all(prefix.rows.sum(-1) <= 1 + 1e-5)


def test_grounding_finds_the_patches_that_a_question_names():
    labels = torch.zeros(1, len(training.ROW), 6, dtype=torch.long)
    cat, sign = vocabulary.ID["cat"], vocabulary.ID["exit"]
    labels[0, training.ROW["content"], 1:3] = cat
    labels[0, training.ROW["content"], 4] = sign
    labels[0, training.ROW["colour"], [2, 4]] = vocabulary.ID["red"]
    words = torch.tensor([[vocabulary.encode("is there cat ?"), vocabulary.encode("what says the red sign ?")]])
    kinds = torch.tensor([[vocabulary.KINDS.index("existence"), training_language.READING]])
    found = training_language.matches(labels, words, kinds)[0]
    assert found[0, 2].tolist() == [False, True, True, False, False, False]
    assert found[1, 3].tolist() == [False, False, False, False, True, False]
    assert found.sum() == 3


def test_best_rectangle_finds_a_region_of_high_scores():
    scores = np.full((1, 16, 16), 0.1)
    scores[0, 4:8, 2:8] = 0.9
    assert localizer.best_rectangles(scores.reshape(1, 256)).tolist() == [[1, 2, 3, 3]]
    evidence = torch.tensor([[0, 0, 0, 1, 2, 3, 3, 0]])
    assert localizer.token_targets(evidence).view(16, 16)[4:8, 2:8].min() == 1
    assert localizer.token_targets(evidence).sum() == 24


def test_a_map_of_noise_means_the_whole_image_as_in_the_service():
    scores = 0.9 + 0.01 * np.random.default_rng(5).random((4, 256))
    assert localizer.best_rectangles(scores).tolist() == [[0, 0, 7, 7]] * 4


def test_the_loss_of_the_search_is_least_for_the_evidence_and_greatest_for_a_missed_block():
    answer = torch.tensor([[0, 0, 0, 2, 2, 4, 3, 0]])

    def loss(*blocks):
        found = torch.tensor([[0, 0, 0, *blocks, 0]])
        return localizer.search_loss(0.05 + 0.9 * localizer.token_targets(found), answer).item()

    exact, wider, narrower, elsewhere = loss(2, 2, 4, 3), loss(2, 2, 5, 3), loss(2, 2, 3, 3), loss(6, 6, 7, 7)
    assert exact < 0.2 and exact < wider < narrower < elsewhere


def test_the_loss_of_a_question_about_the_whole_image_is_nothing_for_a_flat_map():
    answer = torch.tensor([[0, 0, 0, 0, 0, 7, 7, 1]])
    noise = 0.9 + 0.01 * torch.from_numpy(np.random.default_rng(5).random((1, 256))).float()
    region = 0.05 + 0.9 * localizer.token_targets(torch.tensor([[0, 0, 0, 2, 2, 4, 3, 0]]))
    assert localizer.search_loss(noise, answer).item() < 0.2 < localizer.search_loss(region, answer).item()


def test_patches_that_touch_are_one_group():
    assert probes.groups(np.array([[1, 1, 0, 1], [0, 0, 1, 0], [1, 0, 1, 1]])) == 4
    assert probes.groups(np.zeros((2, 2))) == 0


def test_a_probe_is_measured_on_what_it_was_not_fitted_to():
    labels = torch.arange(200) % 2
    known = labels[:, None] + 0.1 * torch.randn(200, 3)
    found = probes.probe((known, labels), (1 - known, labels), 2)
    assert found["train"] == 1 and found["validation"] == 0 and found["classes"] == [0, 0]


def test_a_training_goes_on_with_the_same_batches():
    whole = training.batches(40, 8, 1, 0)
    expected = [next(whole).tolist() for _ in range(12)]
    resumed = training.batches(40, 8, 1, 7)
    assert [next(resumed).tolist() for _ in range(5)] == expected[7:]


def test_the_learning_rate_rises_stays_and_falls():
    shares = [training.schedule(step, 1000) for step in range(1000)]
    assert shares[0] < 0.02 and max(shares) == 1 and shares[-1] < 0.03
    assert all(a >= b for a, b in zip(shares[500:], shares[501:]))


def test_the_resampler_computes_the_equations_that_the_service_documents():
    network = resampler.Resampler().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    image = torch.randn(2, 256, 128)
    weights_by_name = {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}
    shapes = networks.resampler_shapes(resampler.CONFIGURATION)
    assert {name: array.shape for name, array in weights_by_name.items()} == shapes
    centres = [((column + 0.5) / 16, (row + 0.5) / 16) for row in range(16) for column in range(16)]
    parts = [resampler.parts_of(blocks) for blocks in ((1, 2, 4, 3), (0, 0, 0, 7), None, (7, 7, 7, 7))]
    inside = torch.zeros(4, 256, dtype=torch.bool)
    for row, part in enumerate(parts):
        inside[row, part[0]] = True
    with torch.no_grad():
        rows = network(image, inside, 5, 3).numpy()
    for row, part in enumerate(parts):
        for name, tokens, own in zip(("region", "background"), part, (rows[row, :5], rows[row, 5:])):
            features = image[row // 2].double().numpy()
            expected, _ = networks.resampler_rows(weights_by_name, resampler.CONFIGURATION, len(own), name, tokens.tolist(), features,
                                                  centres)
            assert np.abs(own - expected).max() < 1e-4


@pytest.mark.parametrize("blocks, keep, share, expected", [
    (None, 28, 0.25, [(7, 21)]), (None, 14, 0.0, [(0, 14)]), ((0, 0, 3, 3), 28, 0.25, [(5, 16), (2, 5)]),
    # A region of sixteen tokens keeps them all; the rest of the budget is the background's.
    ((2, 2, 3, 3), 85, 0.25, [(16, 0), (17, 52)])])
def test_a_budget_is_divided_as_the_service_divides_it(blocks, keep, share, expected):
    parts = resampler.parts_of(blocks)
    assert resampler.row_counts(parts, keep, share) == expected
    sources, positions = resampler.composition(parts, keep, share, lambda part, count: part[:count])
    assert len(sources) == keep and (np.diff(positions) >= 0).all() and len(set(sources.tolist())) == keep
