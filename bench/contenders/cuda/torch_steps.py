"""Steps of torch's Adam or AdamW for torch.ts beside it, over tensors of the shapes in a file.

    python3 torch_steps.py SHAPES.json Adam|AdamW fused|foreach|compiled LR BETA1 BETA2 EPS WEIGHT_DECAY

says "ready MILLISECONDS VERSION" (of making the optimizer and its first step, compilation included), then takes as many steps as each
line of its input says, and says "done" once the device has done them.
"""

import json
import sys
import time

import torch


def main():
    shapes_file, name, variant, *numbers = sys.argv[1:]
    lr, beta1, beta2, eps, weight_decay = map(float, numbers)
    with open(shapes_file) as file:
        shapes = [shape for _, shape in json.load(file)["shapes"]]
    generator = torch.Generator(device="cuda").manual_seed(1)
    params = [torch.rand(shape, device="cuda", generator=generator) - 0.5 for shape in shapes]
    for param in params:
        param.grad = torch.rand(param.shape, device="cuda", generator=generator) - 0.5
    torch.cuda.synchronize()

    start = time.perf_counter()
    kind = getattr(torch.optim, name)
    options = {"fused": True} if variant == "fused" else {"foreach": True}
    if variant == "compiled":  # as torch's documentation has it: tensor lr, so that a new one compiles nothing
        options = {"foreach": True, "capturable": True}
        lr = torch.tensor(lr, device="cuda")
    optimizer = kind(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, **options)
    step = torch.compile(lambda: optimizer.step(), fullgraph=False) if variant == "compiled" else optimizer.step
    step()
    torch.cuda.synchronize()
    print("ready", 1000 * (time.perf_counter() - start), torch.__version__, flush=True)

    for line in sys.stdin:
        for _ in range(int(line)):
            step()
        torch.cuda.synchronize()
        print("done", flush=True)


main()
