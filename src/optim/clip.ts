import { min, norm } from "stepjit/ops";
import { defineTransform } from "../trace/definition.ts";

/**
 * Scales all gradients so that their norm, taken over all parameters together, is at most `clipNorm`.
 *
 *     grad = grad · min(1, clipNorm / (‖all gradients‖ + 1e-6))
 *
 * Source: torch/nn/utils/clip_grad.py, `clip_grad_norm_`. A norm that is NaN makes every gradient NaN, as there.
 */
export const clipByGlobalNorm = defineTransform({
  name: "clip",
  hyper: { clipNorm: { default: 1, min: 0 } },
  update({ grad, hyper }) {
    "use stepjit";
    return grad * min(1, hyper.clipNorm / (norm(grad, "step") + 1e-6));
  },
});
