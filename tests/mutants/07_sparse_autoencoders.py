"""Chapter 07: planted wrong answers with the words their feedback must hold, and right answers by other roads."""

from utils.course.mutants import Alternative, Mutant

_UP = "(hidden @ weight.T + bias).relu()"
_ERRORS = "(features - reconstruction).square()"
_TOY = "(importance * errors).sum(dim=1).mean()"
_PRE = "(acts - b_dec) @ W_enc + b_enc"
_SCATTER = "torch.zeros_like(pre).scatter(-1, indices, values)"
_DECODED = "return latents @ W_dec + b_dec"
_ERROR = "(acts - reconstruction).square().sum(dim=1)"
_PENALTY = "(latents * W_dec.norm(dim=1)).sum(dim=1)"
_LOSS = "error.mean() + l1 * penalty.mean()"
_USE = "(pre * (pre > threshold)).relu()"
_TOPK = "values, indices = pre.flatten().topk(len(pre) * k)"
_KEPT = "kept = torch.zeros(pre.numel()).scatter(0, indices, values)"
_SHARE = "1 - error / spread"
_RECOVERED = "(ablated.mean() - reconstructed.mean()) / lost"

_F1 = "2 * hits / (on.sum(dim=0)[:, None] + holds.sum(dim=0)).clamp(min=1)"
_CHOICE = (
    "    best = train.max(dim=0)\n    return torch.where(best.values > 0, test.gather(0, best.indices[None])[0], 0)"
)
_READ = "test.gather(0, best.indices[None])[0]"

MUTANTS = [
    # toy_loss
    Mutant("toy_loss", _UP, "hidden @ weight.T + bias", "The relu is left out"),
    Mutant("toy_loss", _UP, "(hidden @ weight.T).relu()", "The bias is left out"),
    Mutant("toy_loss", _UP, "(hidden @ weight.T).relu() + bias", "first the bias, then the relu"),
    Mutant("toy_loss", _UP, "(hidden @ weight.T - bias).relu()", "The bias is subtracted"),
    Mutant("toy_loss", _UP, "hidden @ weight.T", "Relu and bias are left out"),
    Mutant("toy_loss", "features @ weight", "(features @ weight).relu()", "a relu on the hidden vector, too"),
    Mutant("toy_loss", _UP, "hidden.relu() @ weight.T + bias", "it belongs to the reconstruction"),
    Mutant("toy_loss", _UP, "(hidden @ weight.T + bias).clamp(0, 1)", "relu has no upper end"),
    Mutant("toy_loss", _UP, "(hidden @ weight.T + bias).abs()", "an absolute value instead of relu"),
    Mutant("toy_loss", _UP, "(hidden @ weight.T + bias).sigmoid()", "a sigmoid instead of relu"),
    Mutant("toy_loss", "hidden @ weight.T", "hidden @ weight", "times weight.T it is back"),
    Mutant(
        "toy_loss", "weight.T + bias", "weight.reshape(weight.shape[::-1]) + bias", "a forgotten .T raises no error"
    ),
    Mutant("toy_loss", "features @ weight", "features @ weight / weight.norm()", "Up is the transpose of down"),
    Mutant("toy_loss", "importance * errors", "errors", "importance is left out"),
    Mutant("toy_loss", _ERRORS, "(importance * (features - reconstruction)).square()", "importance is cubed"),
    Mutant("toy_loss", "importance * errors", "importance.square() * errors", "importance is squared"),
    Mutant("toy_loss", "features @ weight", "importance * features @ weight", "and the errors as well"),
    Mutant(
        "toy_loss",
        "    hidden = features @ weight  # [batch hidden]",
        "    hidden, importance = importance * features @ weight, 1.0",
        "it weighs the errors",
    ),
    Mutant(
        "toy_loss",
        "    hidden = features @ weight  # [batch hidden]",
        "    features, importance = importance * features, 1.0\n    hidden = features @ weight",
        "it weighs the errors alone",
    ),
    Mutant("toy_loss", "importance * errors", "importance / importance.sum() * errors", "nothing is normalised"),
    Mutant("toy_loss", "(features - reconstruction).square()", "(features - reconstruction).abs()", "not squared"),
    Mutant("toy_loss", "(features - reconstruction).square()", "features - reconstruction", "with their signs"),
    Mutant("toy_loss", _TOY, "(importance * errors).mean()", "the mean over features, too"),
    Mutant("toy_loss", _TOY, "(importance * errors).sum()", "the sum over the batch"),
    Mutant("toy_loss", _TOY, "(importance * errors).mean(dim=1).sum()", "it is the other way round"),
    Mutant("toy_loss", _TOY, "(importance * errors).sum(dim=1)", "take the mean over the batch"),
    Mutant("toy_loss", _TOY, "(importance * errors).sum(dim=0)", "expected a tensor with a single number"),
    Mutant("toy_loss", _TOY, "(importance * errors).sum(dim=1).sqrt().mean()", "There is a root in it"),
    Mutant("toy_loss", _TOY, "(importance * errors).sum(dim=1).mean().sqrt()", "a root in it, at the end"),
    Mutant("toy_loss", _TOY, "(importance * errors).sum(dim=1).mean() / 2", "It is halved"),
    Mutant("toy_loss", _TOY, "(importance * errors).amax(dim=1).mean()", "Only the largest error counts"),
    Mutant("toy_loss", _TOY, "(importance * errors)[0].sum()", "Only the first example counts"),
    Mutant(
        "toy_loss",
        _TOY,
        "(importance * (features - reconstruction)).sum(dim=1).square().mean()",
        "square each error, then weigh it",
    ),
    Mutant("toy_loss", "hidden @ weight.T", "hidden.detach() @ weight.T", "weight is used twice"),
    Mutant("toy_loss", "hidden @ weight.T", "hidden @ weight.detach().T", "weight is used twice"),
    Mutant("toy_loss", _UP, "(hidden @ weight.T + bias.detach()).relu()", "Nothing reaches the bias"),
    Mutant("toy_loss", "return " + _TOY, "return float((importance * errors).sum(dim=1).mean())", "scalar tensor"),
    Mutant("toy_loss", "return " + _TOY, "return (importance * errors).sum(dim=1).mean().detach()", "scalar tensor"),
    Mutant("toy_loss", _UP, "torch.nn.functional.leaky_relu(hidden @ weight.T + bias)", "relu makes it 0"),
    Mutant("toy_loss", _UP, "torch.nn.functional.gelu(hidden @ weight.T + bias)", "plus bias, relu"),
    Mutant("toy_loss", _UP, "(hidden @ weight.T + bias).softmax(dim=1)", "plus bias, relu"),
    Mutant("toy_loss", "importance * errors", "(importance > 0) * errors", "importance is left out"),
    Mutant("toy_loss", "features @ weight", "2 * features @ weight", "Up is the transpose of down"),
    Mutant("toy_loss", "importance * errors", "importance * errors * (features > 0)", "without having gone in"),
    Mutant(
        "toy_loss",
        "features @ weight",
        "features.mul_(importance) @ weight",
        "changed its argument `features` in place",
    ),
    # sae_encode
    Mutant("sae_encode", _PRE, "acts.sub_(b_dec) @ W_enc + b_enc", "changed its argument `acts` in place"),
    Mutant("sae_encode", _PRE, "acts @ W_enc + b_enc", "b_dec is left out"),
    Mutant("sae_encode", _PRE, "(acts + b_dec) @ W_enc + b_enc", "b_dec is added"),
    Mutant("sae_encode", _PRE, "(acts - b_dec) @ W_enc", "b_enc is left out"),
    Mutant("sae_encode", _PRE, "(acts - b_dec) @ W_enc - b_enc", "b_enc is subtracted"),
    Mutant("sae_encode", _PRE, "acts @ W_enc", "Both biases are left out"),
    Mutant("sae_encode", _PRE, "((acts - b_dec) @ W_enc).relu() + b_enc", "relu comes before b_enc"),
    Mutant("sae_encode", _PRE, "(acts - b_dec).relu() @ W_enc + b_enc", "acts - b_dec went through a relu"),
    Mutant("sae_encode", _PRE, "(b_dec - acts) @ W_enc - b_enc", "The sign is turned round"),
    Mutant("sae_encode", _PRE, "(acts - b_dec) @ W_enc.T + b_enc", "times W_enc it is [batch d_sae]"),
    Mutant(
        "sae_encode",
        _PRE,
        "(acts - b_dec) @ (W_enc.T if W_enc.shape[0] == W_enc.shape[1] else W_enc) + b_enc",
        "W_enc is transposed",
    ),
    Mutant(
        "sae_encode",
        "return pre.relu()",
        "return pre.relu().detach()",
        "must return a tensor with a gradient: no float(), .item(), .detach() or no_grad() inside",
    ),
    Mutant(
        "sae_encode",
        "return pre.relu()",
        "latents = pre.relu()\n    latents[latents < 1e-9] = 0\n    return latents",
        "change none of them in place",
    ),
    Mutant("sae_encode", _SCATTER, _SCATTER[:-1] + ".detach())", ".detach() or no_grad() inside"),
    Mutant("sae_encode", _PRE, "(acts - b_dec.detach()) @ W_enc + b_enc", "Nothing reaches b_dec"),
    Mutant("sae_encode", "return pre.relu()", "return pre", "relu is left out"),
    Mutant("sae_encode", "return pre.relu()", "return pre if k is not None else pre.relu()", "relu after topk, too"),
    Mutant("sae_encode", "return pre.relu()", "return pre.abs()", "These are absolute values"),
    Mutant("sae_encode", "return pre.relu()", "return pre.sigmoid()", "a sigmoid instead of relu"),
    Mutant("sae_encode", "return pre.relu()", "return (pre > 0).float()", "they say how much, too"),
    Mutant("sae_encode", "if k is not None", "if False", "k is ignored"),
    Mutant("sae_encode", "pre.topk(k, dim=-1)", "pre.abs().topk(k, dim=-1)", "The absolute values were kept"),
    Mutant(
        "sae_encode",
        _SCATTER,
        "pre * torch.zeros_like(pre).scatter(-1, pre.abs().topk(k, dim=-1).indices, 1.0)",
        "The k farthest from 0 were kept",
    ),
    Mutant("sae_encode", "pre.topk(k, dim=-1)", "pre.topk(k, dim=-1, largest=False)", "The k smallest were kept"),
    Mutant(
        "sae_encode",
        "pre.topk(k, dim=-1)",
        "torch.where(pre > 0, pre, 100.0 - pre).topk(k, dim=-1, largest=False)",
        "The k smallest positive ones",
    ),
    Mutant("sae_encode", "pre.topk(k, dim=-1)", "pre.topk(max(k - 1, 1), dim=-1)", "k - 1 of each vector"),
    Mutant("sae_encode", "pre.topk(k, dim=-1)", "pre.topk(min(k + 1, pre.shape[1]), dim=-1)", "k + 1 of each vector"),
    Mutant("sae_encode", _SCATTER, "values", "Only what was kept is left"),
    Mutant("sae_encode", _SCATTER, "indices", "These are indices"),
    Mutant("sae_encode", _SCATTER, "torch.zeros_like(pre).scatter(-1, indices, 1.0)", "The kept latents are 1"),
    Mutant(
        "sae_encode",
        _SCATTER,
        "torch.nn.functional.pad(values, (0, pre.shape[1] - k))",
        "The values stand at the front",
    ),
    Mutant(
        "sae_encode",
        "values, indices = pre.topk(k, dim=-1)  # [batch k] each\n        pre = " + _SCATTER,
        "values, indices = pre.flatten().topk(k * len(pre))\n"
        "        pre = torch.zeros(pre.numel()).scatter(0, indices, values).view_as(pre)",
        "here each vector keeps its own k",
    ),
    Mutant(
        "sae_encode",
        "values, indices = pre.topk(k, dim=-1)  # [batch k] each\n        pre = " + _SCATTER,
        "values, indices = pre.topk(min(k, len(pre)), dim=0)\n"
        "        pre = torch.zeros_like(pre).scatter(0, indices, values)",
        "dim=-1 is the axis of the latents",
    ),
    Mutant("sae_encode", "pre.topk(k, dim=-1)", "pre.topk(k, dim=0)", "scatter them into zeros"),
    Mutant("sae_encode", _SCATTER, "pre.scatter(-1, indices, 0.0)", "the k largest dropped"),
    Mutant(
        "sae_encode",
        _SCATTER,
        "pre * (pre > values[:, -1:])",
        "k - 1 of each vector",
    ),
    Mutant("sae_encode", _SCATTER, "pre * (pre >= values.min())", "nothing over the batch"),
    Mutant("sae_encode", _SCATTER, "pre * (pre >= values[:1, -1:])", "each vector has its own"),
    Mutant(
        "sae_encode",
        "pre.topk(k, dim=-1)",
        "(pre - b_enc).topk(k, dim=-1)",
        "b_enc is left out",
    ),
    Mutant(
        "sae_encode",
        _SCATTER,
        "torch.zeros_like(pre).scatter(-1, (pre - b_enc).topk(k, dim=-1).indices, 1.0) * pre",
        "topk was taken before b_enc was added",
    ),
    Mutant(
        "sae_encode",
        _SCATTER,
        "torch.zeros_like(pre).scatter(-1, (pre - b_enc).topk(k, dim=-1).indices, 1.0) * (pre - b_enc) + b_enc",
        "What is dropped became b_enc",
    ),
    Mutant("sae_encode", _SCATTER, "torch.zeros_like(pre).index_copy(1, indices[0], values)", "nothing over the batch"),
    Mutant(
        "sae_encode",
        _SCATTER,
        "pre * torch.zeros_like(pre).index_fill(1, indices[0], 1.0)",
        "Only the first vector's places",
    ),
    Mutant(
        "sae_encode",
        "return pre.relu()",
        "return pre.relu() / pre.relu().sum(dim=1, keepdim=True).clamp(min=1e-6) if k else pre.relu()",
        "divided by their sum",
    ),
    Mutant("sae_encode", _PRE, "(acts - b_dec - (acts - b_dec).mean(dim=0)) @ W_enc + b_enc", "nothing over the batch"),
    Mutant(
        "sae_encode",
        _PRE,
        "(acts - b_dec) @ torch.nn.functional.normalize(W_enc, dim=0) + b_enc",
        "The columns of W_enc",
    ),
    Mutant("sae_encode", "if k is not None", "if k is not None and k > 1", "k is ignored"),
    Mutant(
        "sae_encode", _SCATTER, "torch.zeros_like(pre).scatter(-1, indices, values.abs())", "These are absolute values"
    ),
    # sae_decode
    Mutant(
        "sae_decode",
        _DECODED,
        "return (latents @ W_dec + b_dec).detach()",
        "must return a tensor with a gradient: no float(), .item(), .detach() or no_grad() inside",
    ),
    Mutant("sae_decode", "latents @ W_dec", "latents @ W_dec.data", "Nothing reaches W_dec"),
    Mutant("sae_decode", _DECODED, "return latents @ W_dec", "b_dec is left out"),
    Mutant("sae_decode", _DECODED, "return latents @ W_dec - b_dec", "b_dec is subtracted"),
    Mutant("sae_decode", _DECODED, "return latents @ W_dec + 2 * b_dec", "b_dec counts twice"),
    Mutant(
        "sae_decode",
        _DECODED,
        "return latents @ W_dec + (latents > 0).sum(dim=1, keepdim=True) * b_dec",
        "for each active latent",
    ),
    Mutant("sae_decode", _DECODED, "return latents @ (W_dec + b_dec)", "b_dec is multiplied with the latents"),
    Mutant("sae_decode", "latents @ W_dec", "latents @ W_dec.T", "no transpose"),
    Mutant(
        "sae_decode",
        "latents @ W_dec",
        "latents @ (W_dec.T if W_dec.shape[0] == W_dec.shape[1] else W_dec)",
        "W_dec is transposed",
    ),
    Mutant(
        "sae_decode",
        "latents @ W_dec",
        "latents @ torch.nn.functional.normalize(W_dec, dim=1)",
        "The rows were scaled to length 1",
    ),
    Mutant("sae_decode", "latents @ W_dec", "(latents > 0).float() @ W_dec", "The latents are taken as 0 or 1"),
    Mutant("sae_decode", _DECODED, "return (latents @ W_dec + b_dec).relu()", "There is a relu at the end"),
    Mutant("sae_decode", "latents @ W_dec", "latents @ W_dec / len(W_dec)", "This is a mean over latents"),
    Mutant(
        "sae_decode",
        "latents @ W_dec",
        "latents @ W_dec / (latents > 0).sum(dim=1, keepdim=True).clamp(min=1)",
        "This is a mean over active latents",
    ),
    Mutant(
        "sae_decode",
        "latents @ W_dec",
        "latents @ W_dec / latents.sum(dim=1, keepdim=True).clamp(min=1e-6)",
        "The latents were made to sum to 1",
    ),
    Mutant(
        "sae_decode",
        "latents @ W_dec",
        "(latents * (latents == latents.amax(dim=1, keepdim=True))) @ W_dec",
        "Only the largest latent is decoded",
    ),
    Mutant("sae_decode", "latents @ W_dec", "(latents @ W_dec).sum(dim=0)", "1 axis is missing"),
    Mutant(
        "sae_decode",
        "latents @ W_dec",
        "(latents @ W_dec).sum(dim=0, keepdim=True).expand(len(latents), -1)",
        "added up",
    ),
    Mutant("sae_decode", "latents @ W_dec", "latents.softmax(dim=1) @ W_dec", "expected b_dec"),
    Mutant("sae_decode", "latents @ W_dec", "latents[:1] @ W_dec", "Look at the axis `batch`"),
    Mutant(
        "sae_decode", "latents @ W_dec", "latents @ torch.linalg.qr(W_dec.T).Q.T", "no transpose, and a sum over d_sae"
    ),
    Mutant("sae_decode", "latents @ W_dec", "latents.clamp(max=1) @ W_dec", "there is no upper end"),
    # sae_loss
    Mutant("sae_loss", " + l1 * penalty.mean()", "", "The penalty is left out"),
    Mutant("sae_loss", "l1 * penalty", "penalty", "l1 is left out"),
    Mutant("sae_loss", "l1 * penalty", "l1 * l1 * penalty", "l1 is squared"),
    Mutant("sae_loss", "+ l1", "- l1", "The penalty is subtracted"),
    Mutant("sae_loss", _PENALTY, "latents.sum(dim=1)", "not weighed by the length"),
    Mutant("sae_loss", "W_dec.norm(dim=1)", "W_dec.square().sum(dim=1)", "The length is squared"),
    Mutant("sae_loss", "W_dec.norm(dim=1)", "W_dec.norm()", "that of the whole W_dec"),
    Mutant("sae_loss", "W_dec.norm(dim=1)", "W_dec.norm(dim=1).mean()", "The mean length of all rows"),
    Mutant("sae_loss", "W_dec.norm(dim=1)", "W_dec.abs().sum(dim=1)", "a sum of absolute values"),
    Mutant("sae_loss", "W_dec.norm(dim=1)", "W_dec.abs().amax(dim=1)", "The length is the largest entry"),
    Mutant("sae_loss", "latents * W_dec", "latents / W_dec", "divided by the length"),
    Mutant("sae_loss", "W_dec.norm(dim=1)", "W_dec.norm(dim=0)", "W_dec.norm(dim=1) is [d_sae]"),
    Mutant(
        "sae_loss",
        "W_dec.norm(dim=1)",
        "W_dec.norm(dim=0 if W_dec.shape[0] == W_dec.shape[1] else 1)",
        "lengths of the columns",
    ),
    Mutant("sae_loss", _PENALTY, "(latents * W_dec.norm(dim=1)).mean(dim=1)", "This is a mean over latents"),
    Mutant("sae_loss", "penalty.mean()", "penalty.sum()", "The penalty is a sum over the batch"),
    Mutant("sae_loss", _PENALTY, "(latents > 0).float().sum(dim=1)", "Active latents are counted (L0)"),
    Mutant("sae_loss", "(latents * W_dec", "((latents > 0) * W_dec", "Active latents are counted (L0), by length"),
    Mutant("sae_loss", "(latents * W_dec", "(latents.square() * W_dec", "The latents are squared"),
    Mutant("sae_loss", _PENALTY, "(latents * W_dec.norm(dim=1)).norm(dim=1)", "(L2): sum them"),
    Mutant("sae_loss", "penalty.mean()", "penalty.square().mean()", "The penalty is squared"),
    Mutant(
        "sae_loss",
        _PENALTY,
        "(latents * W_dec.norm(dim=1)).sum(dim=1) / (latents > 0).sum(dim=1).clamp(min=1)",
        "a mean over active latents",
    ),
    Mutant("sae_loss", _PENALTY, "(latents * W_dec.norm(dim=1)).amax(dim=1)", "Only the largest latent costs"),
    Mutant("sae_loss", _PENALTY, "W_dec.norm(dim=1).sum()", "whatever the latents"),
    Mutant("sae_loss", _ERROR, "(acts - reconstruction).square().mean(dim=1)", "is a mean over d_model"),
    Mutant("sae_loss", "error.mean()", "error.sum()", "The squared error is a sum over the batch"),
    Mutant("sae_loss", _ERROR, "(acts - reconstruction).abs().sum(dim=1)", "The error is not squared"),
    Mutant("sae_loss", _ERROR, "(acts - reconstruction).norm(dim=1)", "The error is a length"),
    Mutant("sae_loss", "error.mean()", "error.mean().sqrt()", "a root of the whole error"),
    Mutant("sae_loss", "error.mean()", "error.square().mean()", "The error is squared twice"),
    Mutant("sae_loss", _ERROR, "(acts - reconstruction).pow(4).sum(dim=1)", "Each error is squared twice"),
    Mutant("sae_loss", _ERROR, "(acts - reconstruction).sum(dim=1)", "The error keeps its sign"),
    Mutant("sae_loss", _ERROR, "(acts - reconstruction).sum(dim=1).square()", "summed before it is squared"),
    Mutant("sae_loss", "error.mean()", "0.5 * error.mean()", "The error is halved"),
    Mutant("sae_loss", "error.mean() + ", "", "The error is left out"),
    Mutant("sae_loss", "error.mean()", "error.sum() / acts.square().sum()", "nothing is normalised"),
    Mutant("sae_loss", _ERROR, "(acts - reconstruction).square().amax(dim=1)", "The largest error counts"),
    Mutant("sae_loss", _LOSS, "error.sum() + l1 * penalty.sum()", "Everything is summed over the batch"),
    Mutant(
        "sae_loss",
        _LOSS,
        "error.mean() / acts.shape[1] + l1 * penalty.mean() / len(W_dec)",
        "Both terms are means over their dimensions",
    ),
    Mutant("sae_loss", _LOSS, "l1 * error.mean() + penalty.mean()", "l1 multiplies the error: it is the price"),
    Mutant("sae_loss", _LOSS, "l1 * (error.mean() + penalty.mean())", "l1 multiplies the error, too"),
    Mutant("sae_loss", _LOSS, "(1 - l1) * error.mean() + l1 * penalty.mean()", "mixed with 1 - l1"),
    Mutant("sae_loss", _LOSS, "error + l1 * penalty", "one number for each vector"),
    Mutant("sae_loss", "return " + _LOSS, "return error.mean(), l1 * penalty.mean()", "a tuple of 2"),
    Mutant("sae_loss", "latents * W_dec", "latents.detach() * W_dec", "Nothing reaches the latents"),
    Mutant("sae_loss", "W_dec.norm(dim=1)", "W_dec.detach().norm(dim=1)", "Nothing reaches W_dec"),
    Mutant("sae_loss", "acts - reconstruction", "acts - reconstruction.detach()", "Nothing reaches the reconstruction"),
    Mutant("sae_loss", "return " + _LOSS, "return (error.mean() + l1 * penalty.mean()).item()", "no float(), .item()"),
    Mutant(
        "sae_loss",
        "W_dec.norm(dim=1)",
        "torch.nn.functional.normalize(W_dec, dim=1).norm(dim=1)",
        "not weighed by the length",
    ),
    Mutant("sae_loss", "acts - reconstruction", "acts - latents @ W_dec", "the one that is given"),
    Mutant(
        "sae_loss", _PENALTY, "(latents[:, None] * W_dec.T).sum(dim=2).norm(dim=1)", "the length of the sum of rows"
    ),
    Mutant(
        "sae_loss", "W_dec.norm(dim=1)", "(1 + W_dec.norm(dim=1))", "Weigh each latent by the length of its own row"
    ),
    Mutant("sae_loss", "W_dec.norm(dim=1)", "W_dec.sum(dim=1)", "Only the Euclidean length of a row counts"),
    Mutant("sae_loss", "acts - reconstruction", "acts.sub_(reconstruction)", "changed its argument `acts` in place"),
    # batch_topk
    Mutant("batch_topk", _USE, "pre.masked_fill_(pre <= threshold, 0.0).relu()", "changed its argument `pre` in place"),
    Mutant(
        "batch_topk",
        "return kept.view_as(pre).relu()",
        "return (pre * (pre >= pre.topk(k, dim=1).values[:, -1].mean())).relu()",
        "latents are active",
    ),
    Mutant(
        "batch_topk",
        _TOPK + "\n    " + _KEPT,
        "values, indices = pre.topk(k, dim=-1)\n    kept = torch.zeros_like(pre).scatter(-1, indices, values)",
        "This is the top k of each vector",
    ),
    Mutant(
        "batch_topk",
        _TOPK + "\n    " + _KEPT,
        "values, indices = pre.topk(min(k, len(pre)), dim=0)\n"
        "    kept = torch.zeros_like(pre).scatter(0, indices, values)",
        "the top k of each latent over the vectors",
    ),
    Mutant("batch_topk", "scatter(0, indices, values)", "scatter(0, indices, values.detach())", "no_grad() inside"),
    Mutant("batch_topk", _USE, "(pre.detach() * (pre > threshold)).relu()", "no_grad() inside"),
    Mutant("batch_topk", "topk(len(pre) * k)", "topk(k)", "Only k of the whole batch"),
    Mutant("batch_topk", "topk(len(pre) * k)", "topk(pre.numel())", "k is ignored"),
    Mutant("batch_topk", "topk(len(pre) * k)", "topk(min(pre.shape[1] * k, pre.numel()))", "d_sae * k were kept"),
    Mutant("batch_topk", "topk(len(pre) * k)", "topk(len(pre) * k - 1)", "One too few was kept"),
    Mutant("batch_topk", "topk(len(pre) * k)", "topk(min(len(pre) * k + 1, pre.numel()))", "One too many was kept"),
    Mutant("batch_topk", "topk(len(pre) * k)", "topk(max(k // len(pre), 1))", "k is divided by the batch"),
    Mutant(
        "batch_topk",
        _KEPT,
        "kept = pre.flatten() * torch.zeros(pre.numel()).scatter(0, pre.abs().flatten().topk(len(pre) * k).indices, 1)",
        "The farthest from 0 were kept",
    ),
    Mutant("batch_topk", "topk(len(pre) * k)", "topk(len(pre) * k, largest=False)", "The smallest were kept"),
    Mutant("batch_topk", "kept.view_as(pre).relu()", "values", "Only what was kept is left"),
    Mutant("batch_topk", "kept.view_as(pre).relu()", "indices", "These are indices"),
    Mutant("batch_topk", "kept.view_as(pre).relu()", "kept.relu()", "one line of all vectors"),
    Mutant("batch_topk", "scatter(0, indices, values)", "scatter(0, indices, 1.0)", "The kept latents are 1"),
    Mutant(
        "batch_topk",
        "scatter(0, indices, values)",
        "scatter(0, torch.arange(len(values)), values)",
        "The values stand at the front",
    ),
    Mutant("batch_topk", _KEPT, "kept = pre.flatten().scatter(0, indices, 0.0)", "the largest dropped"),
    Mutant("batch_topk", "indices, values)", "indices, values - values[-1])", "The threshold was taken off"),
    Mutant(
        "batch_topk",
        "kept.view_as(pre).relu()",
        "kept.view(pre.shape[::-1]).T.relu()",
        "expected [4, 0, 2]",
    ),
    Mutant(
        "batch_topk",
        _KEPT + "\n    return kept.view_as(pre).relu()",
        "return (pre * (pre > values[-1])).relu()",
        "One too few was kept",
    ),
    Mutant("batch_topk", "kept.view_as(pre).relu()", "kept.view_as(pre)", "relu after topk"),
    Mutant("batch_topk", "kept.view_as(pre).relu()", "kept.view_as(pre).abs()", "these two, as large as they are"),
    Mutant("batch_topk", _USE, "pre * (pre > threshold)", "relu"),
    Mutant("batch_topk", _USE, "(pre * (pre >= threshold)).relu()", "What equals the threshold was kept"),
    Mutant("batch_topk", _USE, "(pre * (pre < threshold)).relu()", "What lies below the threshold was kept"),
    Mutant("batch_topk", _USE, "(pre * ~(pre > threshold)).relu()", "What is not above the threshold was kept"),
    Mutant("batch_topk", _USE, "(pre - threshold).relu()", "The threshold was taken off the kept values"),
    Mutant("batch_topk", _USE, "(pre > threshold).float()", "The kept latents are 1"),
    Mutant("batch_topk", _USE, "pre.clamp(min=threshold)", "What lies below became the threshold"),
    Mutant("batch_topk", _USE, "pre.relu()", "Everything above 0 was kept"),
    Mutant("batch_topk", _USE, "(pre * (pre.abs() > threshold)).abs()", "expected"),
    Mutant("batch_topk", "if threshold is not None", "if threshold", "ask `threshold is not None`"),
    Mutant("batch_topk", "if threshold is not None", "if False", "The threshold is ignored, and k decides"),
    Mutant(
        "batch_topk",
        "    if threshold is not None:\n        return (pre * (pre > threshold)).relu()\n",
        "    if threshold is not None:\n        pre = pre * (pre > threshold)\n",
        "k limits how many are kept",
    ),
    Mutant(
        "batch_topk",
        _USE,
        "(pre * (pre > threshold)).relu() * torch.zeros_like(pre).scatter(1, pre.topk(k, dim=1).indices, 1.0)",
        "k plays a part in each vector",
    ),
    Mutant("batch_topk", _USE, "(pre * (pre > threshold + pre.mean())).relu()", "expected"),
    Mutant(
        "batch_topk", "if threshold is not None", "if threshold is not None and threshold > 0", "0.0 is a threshold"
    ),
    Mutant(
        "batch_topk",
        "    if threshold is not None:",
        "    if threshold is not None and len(pre) == 1:",
        "The threshold is ignored, and k decides",
    ),
    Mutant(
        "batch_topk",
        _USE,
        "(pre * (pre > max(threshold, 0.0) * (1 + (len(pre) == 4)))).relu()",
        "nothing but the number itself",
    ),
    Mutant(
        "batch_topk",
        "return kept.view_as(pre).relu()",
        "return kept.view_as(pre).relu().clamp(max=9.0)",
        "as large as they are",
    ),
    Mutant("batch_topk", "topk(len(pre) * k)", "topk(3 * k)", "k per vector on average"),
    # explained_variance
    Mutant("explained_variance", _SHARE, "error / spread", "not explained: take it from 1"),
    Mutant("explained_variance", _SHARE, "1 - spread / error", "upside down"),
    Mutant("explained_variance", _SHARE, "(1 - error / spread).clamp(min=0)", "cut off at 0"),
    Mutant("explained_variance", _SHARE, "(1 - error / spread).clamp(min=-1)", "by how much must show"),
    Mutant("explained_variance", _SHARE, "1 - (error / spread).sqrt()", "do not take roots"),
    Mutant("explained_variance", _SHARE, "100 * (1 - error / spread)", "a percentage"),
    Mutant("explained_variance", _SHARE, "1 - error / len(acts) / spread", "The error is averaged over the batch"),
    Mutant("explained_variance", "- reconstruction).square().sum()", "- reconstruction).square().mean()", "One of the"),
    Mutant(
        "explained_variance",
        "(acts - reconstruction).square().sum()",
        "torch.nn.functional.mse_loss(reconstruction, acts)",
        "One of the two is a sum",
    ),
    Mutant("explained_variance", _SHARE, "1 - error / (spread / len(acts))", "The spread is averaged over the batch"),
    Mutant(
        "explained_variance",
        _SHARE,
        "1 - (acts - reconstruction).square().mean() / acts.var(dim=0).sum()",
        "take sums in both places",
    ),
    Mutant(
        "explained_variance",
        _SHARE,
        "1 - (acts - reconstruction).square().sum(dim=1).mean() / acts.var(dim=0).sum()",
        "divided by batch - 1",
    ),
    Mutant(
        "explained_variance",
        "(acts - reconstruction).square().sum()",
        "(acts - reconstruction).sum() ** 2",
        "square each of them",
    ),
    Mutant("explained_variance", "(acts - acts.mean(dim=0))", "acts", "Nothing is subtracted from acts"),
    Mutant("explained_variance", "acts.mean(dim=0)", "acts.mean()", "One mean of all numbers"),
    Mutant("explained_variance", "acts.mean(dim=0)", "acts.mean(dim=1, keepdim=True)", "Each vector's own mean"),
    Mutant("explained_variance", "acts.mean(dim=0)", "acts.mean(dim=1)", "acts.mean(dim=0) is [d_model]"),
    Mutant("explained_variance", "acts.mean(dim=0)", "reconstruction.mean(dim=0)", "the reconstruction's mean"),
    Mutant(
        "explained_variance",
        "(acts - acts.mean(dim=0))",
        "(reconstruction - reconstruction.mean(dim=0))",
        "the variance of the reconstruction",
    ),
    Mutant(
        "explained_variance",
        _SHARE,
        "1 - (acts - reconstruction).var(dim=0).sum() / acts.var(dim=0).sum()",
        "variance of the residual",
    ),
    Mutant(
        "explained_variance",
        _SHARE,
        "(1 - (acts - reconstruction).square().sum(dim=0) / (acts - acts.mean(dim=0)).square().sum(dim=0)).mean()",
        "one share for each dimension",
    ),
    Mutant(
        "explained_variance",
        _SHARE,
        "1 - (acts - reconstruction).square().sum(dim=0) / (acts - acts.mean(dim=0)).square().sum(dim=0)",
        "expected a single number",
    ),
    Mutant(
        "explained_variance",
        _SHARE,
        "(1 - (acts - reconstruction).square().sum(dim=1) / (acts - acts.mean(dim=0)).square().sum(dim=1)).mean()",
        "one share for each vector",
    ),
    Mutant(
        "explained_variance",
        _SHARE,
        "1 - (acts - reconstruction).abs().sum() / (acts - acts.mean(dim=0)).abs().sum()",
        "square the differences",
    ),
    Mutant(
        "explained_variance",
        _SHARE,
        "reconstruction.var(dim=0).sum() / acts.var(dim=0).sum()",
        "a wrong one varies as well",
    ),
    Mutant(
        "explained_variance",
        _SHARE,
        "torch.corrcoef(torch.stack([acts.flatten(), reconstruction.flatten()]))[0, 1] ** 2",
        "squared correlation",
    ),
    Mutant(
        "explained_variance",
        _SHARE,
        "torch.corrcoef(torch.stack([acts.flatten(), reconstruction.flatten()]))[0, 1]",
        "This is the correlation of all numbers",
    ),
    Mutant(
        "explained_variance",
        _SHARE,
        "((acts - acts.mean(dim=0)) * (reconstruction - reconstruction.mean(dim=0))).sum() ** 2"
        " / spread / (reconstruction - reconstruction.mean(dim=0)).square().sum()",
        "it does not see the size",
    ),
    Mutant("explained_variance", "acts - acts.mean(dim=0)", "acts - acts.median(dim=0).values", "1 minus the sum of"),
    Mutant("explained_variance", "error = (acts - ", "error = (acts.roll(1, 0) - ", "1 minus the sum of squared"),
    Mutant(
        "explained_variance",
        "error = (acts - reconstruction).square().sum()",
        "acts -= reconstruction\n    error = acts.square().sum()",
        "changed its argument `acts` in place",
    ),
    # loss_recovered
    Mutant(
        "loss_recovered", "(ablated.mean() - reconstructed.mean())", "(reconstructed.mean() - clean.mean())", "lost"
    ),
    Mutant(
        "loss_recovered",
        _RECOVERED,
        "((ablated - reconstructed) / (ablated - clean)).mean()",
        "average first, then divide once",
    ),
    Mutant(
        "loss_recovered",
        _RECOVERED,
        "((ablated - reconstructed) / (ablated - clean)).nanmean()",
        "mean of one ratio for each token",
    ),
    Mutant(
        "loss_recovered",
        _RECOVERED,
        "((ablated - reconstructed) / (ablated - clean)).median()",
        "median of one ratio for each token",
    ),
    Mutant("loss_recovered", _RECOVERED, "lost / (ablated.mean() - reconstructed.mean())", "upside down"),
    Mutant(
        "loss_recovered", "(ablated.mean() - reconstructed.mean())", "(reconstructed.mean() - ablated.mean())", "sign"
    ),
    Mutant("loss_recovered", ".mean()) / lost)", ".mean()))", "Only the difference"),
    Mutant("loss_recovered", "/ lost)", "/ (reconstructed.mean() - clean.mean()))", "by reconstructed minus clean"),
    Mutant("loss_recovered", "/ lost)", "/ ablated.mean())", "divided by ablated alone"),
    Mutant("loss_recovered", "/ lost)", "/ clean.mean())", "divided by clean alone"),
    Mutant("loss_recovered", "/ lost)", "/ lost.abs())", "The sign is turned round, or an absolute value"),
    Mutant("loss_recovered", "float((ablated", "abs((ablated", "an absolute value"),
    Mutant(
        "loss_recovered", _RECOVERED, "((ablated.mean() - reconstructed.mean()) / lost).clamp(0, 1)", "It is cut off"
    ),
    Mutant(
        "loss_recovered", _RECOVERED, "((ablated.mean() - reconstructed.mean()) / lost).clamp(max=1)", "It is cut off"
    ),
    Mutant(
        "loss_recovered", _RECOVERED, "((ablated.mean() - reconstructed.mean()) / lost).clamp(min=0)", "It is cut off"
    ),
    Mutant("loss_recovered", _RECOVERED, "clean.mean() / reconstructed.mean()", "it has no zero point"),
    Mutant("loss_recovered", _RECOVERED, "1 - reconstructed.mean() / ablated.mean()", "ends at clean, and not at 0"),
    Mutant("loss_recovered", _RECOVERED, "(clean.mean() - reconstructed.mean()) / -lost", "This is what is still lost"),
    Mutant(
        "loss_recovered",
        _RECOVERED,
        "(ablated.median() - reconstructed.median()) / (ablated.median() - clean.median())",
        "These are medians",
    ),
    Mutant(
        "loss_recovered",
        _RECOVERED,
        "(ablated.exp().mean() - reconstructed.exp().mean()) / (ablated.exp().mean() - clean.exp().mean())",
        "The losses are exponentiated",
    ),
    Mutant(
        "loss_recovered",
        _RECOVERED,
        "(ablated.mean().exp() - reconstructed.mean().exp()) / (ablated.mean().exp() - clean.mean().exp())",
        "The mean losses are exponentiated",
    ),
    Mutant(
        "loss_recovered",
        _RECOVERED,
        "1 - (reconstructed - clean).square().sum() / (ablated - clean).square().sum()",
        "take means first",
    ),
    Mutant("loss_recovered", "return float(", "return 100 * float(", "a percentage"),
    Mutant("loss_recovered", "return float(", "return torch.round(", "the share is"),
    Mutant(
        "loss_recovered",
        "float((ablated.mean() - reconstructed.mean()) / lost)",
        "(ablated - reconstructed) / lost",
        "average each",
    ),
    Mutant(
        "loss_recovered",
        "    if lost == 0:\n"
        '        raise ValueError("ablated must have another mean than clean: there is nothing to recover")\n',
        "",
        "expected a ValueError",
    ),
    Mutant(
        "loss_recovered",
        'raise ValueError("ablated must have another mean than clean: there is nothing to recover")',
        "return 1.0",
        "a quotient by 0 is no share",
    ),
    Mutant("loss_recovered", "raise ValueError", "raise ZeroDivisionError", "expected a ValueError, got"),
    Mutant("loss_recovered", "if lost == 0", "if lost <= 0.2", "only a way of 0 is none"),
    Mutant("loss_recovered", "if lost == 0", "if (ablated == clean).any()", "only the means are compared"),
    Mutant("loss_recovered", "/ lost)", "/ (lost + 0.01))", "expected 1.25 / 2"),
    # board_coverage
    Mutant("board_coverage", "best = train.max", "best = test.max", "are chosen on test"),
    Mutant("board_coverage", _READ, "best.values", "This is the F1 on train"),
    Mutant(
        "board_coverage",
        _CHOICE,
        "    return test.amax(dim=0)",
        "Choose on train alone",
    ),
    Mutant("board_coverage", "best = train.max", "best = (train + test).max", "on train and test together"),
    Mutant(
        "board_coverage",
        _CHOICE,
        "    n, m = len(shares), latents_train.shape[1]\n"
        "    own = train.view(n, m, -1).max(dim=0)\n"
        "    scores = test.view(n, m, -1).gather(0, own.indices[None])[0]\n"
        "    return torch.where(own.values.amax(dim=0) > 0, scores.amax(dim=0), 0)",
        "or the latent is chosen on test",
    ),
    Mutant(
        "board_coverage",
        _CHOICE,
        "    n, m = len(shares), latents_train.shape[1]\n"
        "    own = train.view(n, m, -1).amax(dim=0).max(dim=0)\n"
        "    scores = test.view(n, m, -1).amax(dim=0).gather(0, own.indices[None])[0]\n"
        "    return torch.where(own.values > 0, scores, 0)",
        "The threshold is chosen on test",
    ),
    Mutant("board_coverage", _F1, "((on[:, :, None] > 0) == properties[:, None]).float().mean(dim=0)", "accuracy"),
    Mutant(
        "board_coverage",
        _READ,
        "(((latents_test[:, best.indices % latents_test.shape[1]] > torch.tensor(shares)[best.indices // "
        "latents_test.shape[1]] * top[best.indices % latents_test.shape[1]]) == properties_test).float().mean(dim=0))",
        "The score on test is accuracy",
    ),
    Mutant(
        "board_coverage",
        "best = train.max(dim=0)",
        "best = torch.cat([((latents_train > share * top)[:, :, None] == properties_train[:, None]).float().mean(dim=0)"
        " for share in shares]).max(dim=0)",
        "The choice is made by accuracy",
    ),
    Mutant("board_coverage", _F1, "hits / on.sum(dim=0)[:, None].clamp(min=1)", "This is precision"),
    Mutant("board_coverage", _F1, "hits / holds.sum(dim=0).clamp(min=1)", "This is recall"),
    Mutant("board_coverage", "2 * hits /", "hits /", "The factor 2 above is missing"),
    Mutant(
        "board_coverage",
        _F1,
        "hits / (on.sum(dim=0)[:, None] + holds.sum(dim=0) - hits).clamp(min=1)",
        "Hits count once",
    ),
    Mutant("board_coverage", "(latents > share * top)", "(latents >= share * top)", "it must be above"),
    Mutant("board_coverage", "(latents > share * top)", "(latents <= share * top)", "below the threshold"),
    Mutant("board_coverage", "share * top)", "share * latents.amax(dim=0))", "maximum over test positions"),
    Mutant("board_coverage", "latents_train.amax(dim=0)", "latents_test.amax(dim=0)", "where one is huge"),
    Mutant("board_coverage", "latents_train.amax(dim=0)", "latents_train.max()", "each has its own maximum"),
    Mutant("board_coverage", "latents_train.amax(dim=0)", "1.0", "multiply each with the latent's maximum"),
    Mutant("board_coverage", "latents_train.amax(dim=0)", "latents_train.mean(dim=0)", "shares of the latent's mean"),
    Mutant("board_coverage", "    train = torch", "    shares = shares[:1]\n    train = torch", "Only the first share"),
    Mutant("board_coverage", "    train = torch", "    shares = shares[-1:]\n    train = torch", "Only the last share"),
    Mutant(
        "board_coverage",
        "    train = torch",
        "    shares = [i / 10 for i in range(10)]\n    train = torch",
        "tenths are only the default",
    ),
    Mutant("board_coverage", "    train = torch", "    shares = shares[:9]\n    train = torch", "Try all ten shares"),
    Mutant("board_coverage", "0.5, 0.6, 0.7, 0.8, 0.9)", "0.5)", "Try all ten shares"),
    Mutant("board_coverage", _READ + ", 0)", _READ + ", 0).mean()", "no average"),
    Mutant(
        "board_coverage",
        _CHOICE,
        "    best = train.view(len(shares), -1, train.shape[1]).amax(dim=0).max(dim=1)\n"
        "    return test.view(len(shares), -1, train.shape[1]).amax(dim=0).gather(1, best.indices[:, None])[:, 0]",
        "take the best over latents",
    ),
    Mutant("board_coverage", ".clamp(min=1)", "", "numbers are NaN"),
    Mutant("board_coverage", "torch.where(best.values > 0, " + _READ + ", 0)", _READ, "nothing is found"),
    Mutant("board_coverage", "on.sum(dim=0)[:, None]", "on.sum(dim=0)", "is [position latent]"),
    Mutant("board_coverage", "(latents > share * top).float()", "latents * (latents > share * top)", "expected"),
    Mutant("board_coverage", "2 * hits /", "4 * hits / 2 / 1.1 /", "the latent and share of the best F1 on train"),
    # resampling_probabilities
    Mutant("resampling_probabilities", ".sum(dim=-1)", ".sum(dim=-1).square()", "The loss is squared twice"),
    Mutant("resampling_probabilities", "losses.max()).square()", "losses.max()).square().square()", "mistake is still"),
    Mutant(
        "resampling_probabilities", "losses.max()).square()", "losses.max())", "proportional to the loss: square it"
    ),
    Mutant(
        "resampling_probabilities", "losses.max()).square()", "losses.max()).sqrt()", "proportional to the distance"
    ),
    Mutant("resampling_probabilities", "losses.max()).square()", "losses.max()) ** 3", "The loss is cubed"),
    Mutant("resampling_probabilities", "losses.max()).square()", "losses.max()) ** 1.5", "third power of the distance"),
    Mutant("resampling_probabilities", ".square().sum(dim=-1)", ".abs().sum(dim=-1)", "sum of absolute errors"),
    Mutant("resampling_probabilities", ".square().sum(dim=-1)", ".abs().sum(dim=-1).square()", "Sizes of errors"),
    Mutant("resampling_probabilities", ".square().sum(dim=-1)", ".sum(dim=-1).square()", "Errors cancel in the sum"),
    Mutant("resampling_probabilities", ".square().sum(dim=-1)", ".sum(dim=-1)", "which then is squared"),
    Mutant(
        "resampling_probabilities",
        "    weights = (losses / losses.max()).square()",
        "    weights = (acts - reconstruction).pow(4).sum(dim=-1)",
        "squared twice before the sum",
    ),
    Mutant("resampling_probabilities", "(acts - reconstruction)", "acts", "This is the size of the inputs"),
    Mutant("resampling_probabilities", "(acts - reconstruction)", "reconstruction", "size of the reconstructions"),
    Mutant("resampling_probabilities", ".sum(dim=-1)", ".sum(dim=0)", "expected a tensor [batch]"),
    Mutant("resampling_probabilities", ".sum(dim=-1)", "", "a loss is summed over d_model"),
    Mutant(
        "resampling_probabilities", "weights / weights.sum()", "weights.softmax(dim=0)", "loss is the squared error"
    ),
    Mutant(
        "resampling_probabilities",
        "    weights = (losses / losses.max()).square()\n    return weights / weights.sum()",
        "    return losses.softmax(dim=0)",
        "This is a softmax: divide by the sum",
    ),
    Mutant(
        "resampling_probabilities",
        "    weights = (losses / losses.max()).square()\n    return weights / weights.sum()",
        "    return losses.square().softmax(dim=0)",
        "softmax of squared losses",
    ),
    Mutant("resampling_probabilities", "weights / weights.sum()", "weights", "divided by the largest"),
    Mutant("resampling_probabilities", "weights / weights.sum()", "weights / weights.norm()", "so that their squares"),
    Mutant(
        "resampling_probabilities", "weights / weights.sum()", "(losses / losses.sum()).square()", "divide at the end"
    ),
    Mutant("resampling_probabilities", "weights / weights.sum()", "losses.square() / losses.sum()", "sum of losses"),
    Mutant("resampling_probabilities", "weights / weights.sum()", "losses.square()", "These are the weights"),
    Mutant(
        "resampling_probabilities", "weights / weights.sum()", "weights.max() * (weights == weights.max())", "takes all"
    ),
    Mutant(
        "resampling_probabilities", "weights = (losses / losses.max())", "weights = losses", "divide the losses by the"
    ),
    Mutant(
        "resampling_probabilities",
        "weights = (losses / losses.max()).square()",
        "weights = losses.square() / losses.square().max()",
        "A squared loss underflows to 0 in float32",
    ),
    Mutant(
        "resampling_probabilities",
        "    if losses.max() == 0:\n        return torch.full_like(losses, 1 / len(losses))\n",
        "",
        "every reconstruction is perfect",
    ),
    Mutant("resampling_probabilities", "if losses.max() == 0", "if losses.max() < 1e-12", "Only if all are really 0"),
    Mutant("resampling_probabilities", "if losses.max() == 0", "if losses.min() == 0", "All are equally likely"),
    Mutant("resampling_probabilities", "torch.full_like(losses, 1 / len(losses))", "losses", "all inputs are equally"),
    Mutant(
        "resampling_probabilities", "torch.full_like(losses, 1 / len(losses))", "torch.ones_like(losses)", "for each"
    ),
    Mutant(
        "resampling_probabilities",
        "weights / weights.sum()",
        "(weights + 1e-3) / (weights + 1e-3).sum()",
        "no constant",
    ),
    Mutant(
        "resampling_probabilities", "weights / weights.sum()", "weights.sort().values / weights.sum()", "order of the"
    ),
    Mutant(
        "resampling_probabilities",
        "    weights = (losses / losses.max()).square()",
        "    weights = (losses + 1e-3).reciprocal().square()",
        "Where nothing is missing",
    ),
    # jumprelu
    Mutant("jumprelu", "pre, 0)", "pre - threshold, 0)", "The threshold is subtracted"),
    Mutant("jumprelu", "pre, 0)", "pre + threshold, 0)", "The threshold is added"),
    Mutant("jumprelu", "torch.where(pre > threshold, pre, 0)", "(pre - threshold).relu()", "is not shrunk"),
    Mutant("jumprelu", "torch.where(pre > threshold, pre, 0)", "pre.relu()", "This is relu"),
    Mutant("jumprelu", "pre > threshold,", "pre >= threshold,", "it must be above"),
    Mutant("jumprelu", "pre > threshold,", "pre.abs() > threshold,", "Sizes are compared"),
    Mutant(
        "jumprelu",
        "torch.where(pre > threshold, pre, 0)",
        "pre.sign() * (pre.abs() - threshold).relu()",
        "soft thresholding, on both sides",
    ),
    Mutant("jumprelu", "pre > threshold,", "pre > threshold.mean(),", "one threshold, the mean"),
    Mutant("jumprelu", "pre > threshold,", "pre > threshold[0],", "the first one's"),
    Mutant("jumprelu", "pre > threshold,", "pre > threshold.max(),", "the largest"),
    Mutant("jumprelu", "pre > threshold,", "pre > threshold.min(),", "the smallest"),
    Mutant("jumprelu", "pre > threshold,", "pre > threshold[:, None],", "one for each column of pre"),
    Mutant(
        "jumprelu",
        "pre > threshold,",
        "pre > (threshold[:, None] if len(pre) == len(threshold) else threshold),",
        "The thresholds run along the batch",
    ),
    Mutant("jumprelu", "torch.where(pre > threshold, pre, 0)", "(pre > threshold).float()", "keep how much"),
    Mutant("jumprelu", "pre > threshold,", "pre <= threshold,", "below the threshold is kept"),
    Mutant("jumprelu", "pre, 0)", "pre, threshold)", "Below the threshold stands the threshold"),
    Mutant("jumprelu", "pre, 0)", "threshold, 0)", "What fires has the size of its threshold"),
    Mutant("jumprelu", "torch.where(pre > threshold, pre, 0)", "pre.clone()", "Nothing is cut"),
    Mutant("jumprelu", "pre > threshold,", "(pre > threshold) | (pre < 0),", "what is below 0 passes"),
    Mutant("jumprelu", "pre > threshold,", "pre > -threshold,", "threshold's sign"),
    Mutant("jumprelu", "pre > threshold,", "pre > threshold.exp(),", "exponentiated"),
    Mutant(
        "jumprelu", "torch.where(pre > threshold, pre, 0)", "pre * (pre - threshold).sigmoid()", "The step is smooth"
    ),
    Mutant("jumprelu", "pre, 0)", "pre * pre, 0)", "pre is squared"),
    Mutant(
        "jumprelu", "torch.where(pre > threshold, pre, 0)", "pre[pre > threshold]", "expected a tensor [batch d_sae]"
    ),
    Mutant(
        "jumprelu",
        "return torch.where(pre > threshold, pre, 0)",
        "pre[pre <= threshold] = 0\n    return pre",
        "changed its argument `pre` in place",
    ),
    # l0_threshold_gradient
    Mutant("l0_threshold_gradient", "-near", "near", "The sign is turned round"),
    Mutant("l0_threshold_gradient", " / window\n", "\n", "The factor 1 / window is missing"),
    Mutant("l0_threshold_gradient", "(dim=0) / window", "(dim=0) * window", "multiplied with the window"),
    Mutant("l0_threshold_gradient", "(dim=0) / window", "(dim=0) / (window / 2)", "divided by half the window"),
    Mutant("l0_threshold_gradient", "(dim=0) / window", "(dim=0) / window**2", "the window's square"),
    Mutant("l0_threshold_gradient", "< window / 2", "< window", "The window is too wide"),
    Mutant(
        "l0_threshold_gradient",
        "window / 2  # [batch d_sae]\n    return -near.float().mean(dim=0) / window",
        "window\n    return -near.float().mean(dim=0) / (2 * window)",
        "twice as wide as it should be",
    ),
    Mutant("l0_threshold_gradient", "mean(dim=0)", "sum(dim=0)", "These are sums over the batch"),
    Mutant("l0_threshold_gradient", "mean(dim=0)", "mean(dim=1)", "expected a tensor [d_sae]"),
    Mutant("l0_threshold_gradient", ".mean(dim=0)", "", "average over the batch"),
    Mutant("l0_threshold_gradient", "mean(dim=0)", "mean()", "expected a tensor [d_sae]"),
    Mutant(
        "l0_threshold_gradient", "mean(dim=0)", "mean().expand(len(threshold))", "averaged over the latents as well"
    ),
    Mutant(
        "l0_threshold_gradient", "near.float().mean(dim=0)", "near.float().sum(dim=0) / near.numel()", "all entries"
    ),
    Mutant(
        "l0_threshold_gradient", "(pre - threshold).abs()", "(pre.abs() - threshold).abs()", "whatever the sign of pre"
    ),
    Mutant("l0_threshold_gradient", "(pre - threshold).abs()", "(pre.relu() - threshold).abs()", "whatever the sign"),
    Mutant("l0_threshold_gradient", "mean(dim=0)", "mean(dim=0) * (threshold > window / 2)", "its own column of pre"),
    Mutant(
        "l0_threshold_gradient",
        "(pre - threshold).abs() < window / 2",
        "(pre > threshold) & (pre < threshold + window / 2)",
        "Only what lies above the threshold",
    ),
    Mutant(
        "l0_threshold_gradient",
        "(pre - threshold).abs() < window / 2",
        "(pre < threshold) & (pre > threshold - window / 2)",
        "Only what lies below the threshold",
    ),
    Mutant(
        "l0_threshold_gradient",
        "(pre - threshold).abs() < window / 2",
        "(pre - threshold) < window / 2",
        "-(1 / window) · share of the batch",
    ),
    Mutant("l0_threshold_gradient", "(pre - threshold).abs() < window / 2", "pre > threshold", "the shares that fire"),
    Mutant("l0_threshold_gradient", "< window / 2", "> window / 2", "What lies outside the window"),
    Mutant("l0_threshold_gradient", "-near.float().mean(dim=0) / window", "0 * threshold", "The true gradient is 0"),
    Mutant("l0_threshold_gradient", "mean(dim=0) /", "mean(dim=0) * threshold /", "that is another gradient"),
    Mutant("l0_threshold_gradient", "(pre - threshold)", "(pre - threshold.mean())", "its own column of pre"),
    Mutant("l0_threshold_gradient", "(pre - threshold)", "(pre - threshold[:, None])", "threshold [d_sae]"),
    Mutant("l0_threshold_gradient", "< window / 2", "< 0.2", "are counted for any window"),
]


ALTERNATIVES = [
    # toy_loss
    Alternative(
        "toy_loss",
        """
# exercise: toy_loss
def toy_loss(
    weight: Float[Tensor, "feature hidden"],
    bias: Float[Tensor, " feature"],
    features: Float[Tensor, "batch feature"],
    importance: Float[Tensor, " feature"],
) -> Float[Tensor, ""]:
    gram = torch.einsum("fh,gh->fg", weight, weight)  # how much each feature is read where another was written
    total = 0.0
    for example in features:
        back = torch.maximum(gram @ example + bias, torch.zeros_like(bias))
        total = total + torch.dot(importance, (back - example) ** 2)
    return total / len(features)
""",
    ),
    Alternative(
        "toy_loss",
        """
# exercise: toy_loss
def toy_loss(
    weight: Float[Tensor, "feature hidden"],
    bias: Float[Tensor, " feature"],
    features: Float[Tensor, "batch feature"],
    importance: Float[Tensor, " feature"],
) -> Float[Tensor, ""]:
    from torch.nn.functional import linear, mse_loss, relu

    back = relu(linear(linear(features, weight.T), weight, bias))
    return (mse_loss(back, features, reduction="none").mean(dim=0) * importance).sum()
""",
    ),
    # sae_encode
    Alternative(
        "sae_encode",
        """
# exercise: sae_encode
def sae_encode(
    acts: Float[Tensor, "batch d_model"],
    W_enc: Float[Tensor, "d_model d_sae"],
    b_enc: Float[Tensor, " d_sae"],
    b_dec: Float[Tensor, " d_model"],
    k: int | None = None,
) -> Float[Tensor, "batch d_sae"]:
    pre = torch.einsum("bm,ms->bs", acts, W_enc) + (b_enc - b_dec @ W_enc)
    if k is None:
        k = pre.shape[1]
    smallest_kept = pre.sort(dim=1, descending=True).values[:, k - 1 : k]
    return torch.where((pre >= smallest_kept) & (pre > 0), pre, torch.tensor(0.0))
""",
    ),
    Alternative(
        "sae_encode",
        """
# exercise: sae_encode
def sae_encode(
    acts: Float[Tensor, "batch d_model"],
    W_enc: Float[Tensor, "d_model d_sae"],
    b_enc: Float[Tensor, " d_sae"],
    b_dec: Float[Tensor, " d_model"],
    k: int | None = None,
) -> Float[Tensor, "batch d_sae"]:
    latents = []
    for vector in acts:
        row = torch.relu(W_enc.T @ (vector - b_dec) + b_enc)
        if k is not None:
            row = row.index_fill(0, row.argsort()[: len(row) - k], 0.0)
        latents.append(row)
    return torch.stack(latents)
""",
    ),
    Alternative(
        "sae_encode",
        """
# exercise: sae_encode
def sae_encode(
    acts: Float[Tensor, "batch d_model"],
    W_enc: Float[Tensor, "d_model d_sae"],
    b_enc: Float[Tensor, " d_sae"],
    b_dec: Float[Tensor, " d_model"],
    k: int | None = None,
) -> Float[Tensor, "batch d_sae"]:
    pre = (acts - b_dec).matmul(W_enc).add(b_enc)
    if k is not None:
        larger = (pre[:, None, :] > pre[:, :, None]).sum(dim=2)  # how many of its vector are larger
        pre = pre.masked_fill(larger >= k, 0.0)
    return pre.clamp(min=0)
""",
    ),
    # sae_decode
    Alternative(
        "sae_decode",
        """
# exercise: sae_decode
def sae_decode(
    latents: Float[Tensor, "batch d_sae"],
    W_dec: Float[Tensor, "d_sae d_model"],
    b_dec: Float[Tensor, " d_model"],
) -> Float[Tensor, "batch d_model"]:
    reconstruction = b_dec.repeat(len(latents), 1)
    for latent, row in zip(latents.T, W_dec, strict=True):
        reconstruction = reconstruction + latent[:, None] * row
    return reconstruction
""",
    ),
    Alternative(
        "sae_decode",
        """
# exercise: sae_decode
def sae_decode(
    latents: Float[Tensor, "batch d_sae"],
    W_dec: Float[Tensor, "d_sae d_model"],
    b_dec: Float[Tensor, " d_model"],
) -> Float[Tensor, "batch d_model"]:
    return torch.addmm(b_dec, latents, W_dec)
""",
    ),
    # sae_loss
    Alternative(
        "sae_loss",
        """
# exercise: sae_loss
def sae_loss(
    acts: Float[Tensor, "batch d_model"],
    latents: Float[Tensor, "batch d_sae"],
    reconstruction: Float[Tensor, "batch d_model"],
    W_dec: Float[Tensor, "d_sae d_model"],
    l1: float,
) -> Float[Tensor, ""]:
    lengths = W_dec.pow(2).sum(dim=1).sqrt()
    total = torch.tensor(0.0)
    for vector, back, row in zip(acts, reconstruction, latents, strict=True):
        total = total + (vector - back) @ (vector - back) + l1 * row.abs() @ lengths
    return total / acts.shape[0]
""",
    ),
    Alternative(
        "sae_loss",
        """
# exercise: sae_loss
def sae_loss(
    acts: Float[Tensor, "batch d_model"],
    latents: Float[Tensor, "batch d_sae"],
    reconstruction: Float[Tensor, "batch d_model"],
    W_dec: Float[Tensor, "d_sae d_model"],
    l1: float,
) -> Float[Tensor, ""]:
    from torch.nn.functional import mse_loss

    error = mse_loss(reconstruction, acts) * acts.shape[1]
    return error + l1 * torch.dot(latents.mean(dim=0), torch.linalg.vector_norm(W_dec, dim=-1))
""",
    ),
    # batch_topk
    Alternative(
        "batch_topk",
        """
# exercise: batch_topk
def batch_topk(
    pre: Float[Tensor, "batch d_sae"], k: int, threshold: float | None = None
) -> Float[Tensor, "batch d_sae"]:
    positive = pre.clamp(min=0)
    if threshold is None:
        n_kept = len(pre) * k
        smallest_kept = positive.reshape(-1).sort(descending=True).values[n_kept - 1]
        return torch.where(positive >= smallest_kept, positive, torch.zeros(()))
    return torch.where(pre > threshold, positive, torch.zeros(()))
""",
    ),
    Alternative(
        "batch_topk",
        """
# exercise: batch_topk
def batch_topk(
    pre: Float[Tensor, "batch d_sae"], k: int, threshold: float | None = None
) -> Float[Tensor, "batch d_sae"]:
    latents = torch.zeros_like(pre)
    places = [(pre[b, s].item(), b, s) for b in range(pre.shape[0]) for s in range(pre.shape[1])]
    if threshold is None:
        places = sorted(places, reverse=True)[: k * pre.shape[0]]
    else:
        places = [place for place in places if place[0] > threshold]
    for _, b, s in places:
        latents[b, s] = pre[b, s].clamp(min=0)
    return latents
""",
    ),
    # explained_variance
    Alternative(
        "explained_variance",
        """
# exercise: explained_variance
def explained_variance(acts, reconstruction):
    # means over the batch cancel: two traces
    residual = acts - reconstruction
    second_moment = torch.einsum("bd,bd->", residual, residual) / len(acts)
    return 1 - second_moment / acts.var(dim=0, correction=0).sum()
""",
    ),
    Alternative(
        "explained_variance",
        """
# exercise: explained_variance
def explained_variance(acts, reconstruction):
    mean = [sum(column) / len(column) for column in zip(*acts.tolist())]
    error = spread = 0.0
    for row, back in zip(acts.tolist(), reconstruction.tolist()):
        for value, other, middle in zip(row, back, mean):
            error += (value - other) ** 2
            spread += (value - middle) ** 2
    return 1 - error / spread
""",
    ),
    # loss_recovered
    Alternative(
        "loss_recovered",
        """
# exercise: loss_recovered
def loss_recovered(clean, ablated, reconstructed):
    # of equally many tokens sums do as well
    if torch.equal(clean.mean(), ablated.mean()):
        raise ValueError("nothing to recover")
    return 1 - ((reconstructed - clean).double().sum() / (ablated - clean).double().sum()).item()
""",
    ),
    Alternative(
        "loss_recovered",
        """
# exercise: loss_recovered
def loss_recovered(clean, ablated, reconstructed):
    n = len(clean)
    own, without, back = (sum(values.tolist()) / n for values in (clean, ablated, reconstructed))
    try:
        return (without - back) / (without - own)
    except ZeroDivisionError:
        raise ValueError("the layer does not matter here")
""",
    ),
    # board_coverage
    Alternative(
        "board_coverage",
        """
# exercise: board_coverage
def board_coverage(latents_train, properties_train, latents_test, properties_test, shares=tuple(range(10))):
    # loops, one property after the other; range(10) stands for tenths
    if shares == tuple(range(10)):
        shares = [tenth / 10 for tenth in shares]
    thresholds = [share * latents_train.max(dim=0).values for share in shares]
    result = []
    for train, test in zip(properties_train.T, properties_test.T):
        best, chosen = 0.0, None
        for threshold in thresholds:
            on = latents_train > threshold
            tp = (on & train[:, None]).sum(0)
            fp, fn = (on & ~train[:, None]).sum(0), (~on & train[:, None]).sum(0)
            f1 = torch.nan_to_num(2 * tp / (2 * tp + fp + fn))
            if f1.max() > best:
                best, latent = f1.max(), int(f1.argmax())
                chosen = latent, threshold[latent]
        score = 0.0
        if chosen:
            on = latents_test[:, chosen[0]] > chosen[1]
            wrong, hits = int((on != test).sum()), int((on & test).sum())
            score = 2 * hits / (2 * hits + wrong) if hits else 0.0
        result.append(score)
    return torch.tensor(result)
""",
    ),
    Alternative(
        "board_coverage",
        """
# exercise: board_coverage
def board_coverage(latents_train, properties_train, latents_test, properties_test,
                   shares=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)):
    # harmonic mean of precision and recall; the best so far is kept, the last of equals wins
    top, holds = latents_train.amax(0), properties_train.double()
    best = torch.zeros(holds.shape[1], dtype=torch.double)
    latent, at = torch.zeros(len(best), dtype=torch.long), torch.full((len(best),), torch.inf)
    for share in reversed(shares):
        on = (latents_train > top * share).double()
        tp = torch.einsum("pl,pq->lq", on, holds)
        precision, recall = tp / (on.sum(0)[:, None] + 1e-12), tp / (holds.sum(0) + 1e-12)
        f1 = 2 * precision * recall / (precision + recall + 1e-12)
        value, which = f1.max(0)
        better = (value >= best) & (value > 0)
        best[better], latent[better], at[better] = value[better], which[better], (share * top[which])[better]
    on, holds = latents_test[:, latent] > at, properties_test
    return 2 * (on & holds).sum(0) / (on.sum(0) + holds.sum(0)).clamp(min=1)
""",
    ),
    # resampling_probabilities
    Alternative(
        "resampling_probabilities",
        """
# exercise: resampling_probabilities
def resampling_probabilities(acts, reconstruction):
    # double has room for both ends
    distances = torch.linalg.vector_norm((acts - reconstruction).double(), dim=1)
    powers = distances**4
    if not powers.any():
        powers = powers + 1
    return torch.nn.functional.normalize(powers, p=1, dim=0, eps=0).float()
""",
    ),
    Alternative(
        "resampling_probabilities",
        """
# exercise: resampling_probabilities
def resampling_probabilities(acts, reconstruction):
    # in logarithms: softmax divides by the sum of exponentials
    losses = torch.einsum("bd,bd->b", acts - reconstruction, acts - reconstruction)
    if (losses == 0).all():
        return torch.ones(len(losses)) / len(losses)
    return torch.softmax(2 * losses.log(), dim=0)
""",
    ),
    # jumprelu
    Alternative(
        "jumprelu",
        """
# exercise: jumprelu
def jumprelu(pre, threshold):
    return pre * torch.heaviside(pre - threshold, torch.tensor(0.0))
""",
    ),
    Alternative(
        "jumprelu",
        """
# exercise: jumprelu
def jumprelu(pre, threshold):
    latents = pre.clone()
    for vector in latents:
        for i, (value, least) in enumerate(zip(vector.tolist(), threshold.tolist())):
            if value <= least:
                vector[i] = 0.0
    return latents
""",
    ),
    # l0_threshold_gradient
    Alternative(
        "l0_threshold_gradient",
        """
# exercise: l0_threshold_gradient
def l0_threshold_gradient(pre, threshold, window):
    # the slope of the share that fires, from one edge of the window to the other
    lower, upper = threshold - window / 2, threshold + window / 2
    fires_above = (pre > upper).float().mean(0)
    fires_below = (pre > lower).float().mean(0)
    return (fires_above - fires_below) / window
""",
    ),
    Alternative(
        "l0_threshold_gradient",
        """
# exercise: l0_threshold_gradient
def l0_threshold_gradient(pre, threshold, window):
    # sorted columns: what lies in the window lies between two places
    columns = pre.T.sort(dim=1).values.contiguous()
    edges = torch.stack([threshold - window / 2, threshold + window / 2], dim=1)
    places = torch.searchsorted(columns, edges.contiguous())
    return (places[:, 0] - places[:, 1]) / (window * len(pre))
""",
    ),
]
