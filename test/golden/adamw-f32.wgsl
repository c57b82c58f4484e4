// AdamW f32: phase 0

struct Launch {
  first: u32,
  count: u32,
  stride: u32,
  scalar_rows: u32,
  row_floats: u32,
  groups: u32,
  parameters: u32,
  lanes: u32,
}
@group(0) @binding(0) var<uniform> launch: Launch;
@group(0) @binding(1) var<storage, read> chunks: array<vec4u>;
@group(0) @binding(2) var<storage, read> tensors: array<u32>;
@group(0) @binding(3) var<storage, read> scalars: array<f32>;
@group(0) @binding(5) var<storage, read_write> params: array<vec4f>;
@group(0) @binding(6) var<storage, read> grads: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> states: array<vec4f>;

override grad_beside_param: bool = false;

fn load_grad(at: u32) -> vec4f {
  if (grad_beside_param) { return params[at]; }
  return grads[at];
}

// kernel "AdamW f32"
fn class_0(chunk: vec4u, thread: u32) {
  let param_at = tensors[chunk.x + 4u];
  let grad_at = tensors[chunk.x + 5u];
  let exp_avg_at = tensors[chunk.x + 6u];
  let exp_avg_sq_at = tensors[chunk.x + 7u];
  let slots = tensors[chunk.x + 2u];
  let first = chunk.y;
  let end = first + chunk.z;

  // What all elements share.
  let v5 = vec4f(scalars[slots + 0u]);                                   // %5 = broadcast scalar 0
  let v7 = vec4f(scalars[slots + 1u]);                                   // %7 = broadcast scalar 1
  let v9 = vec4f(scalars[slots + 2u]);                                   // %9 = broadcast scalar 2
  let v11 = vec4f(scalars[slots + 3u]);                                  // %11 = broadcast scalar 3
  let v13 = vec4f(scalars[slots + 4u]);                                  // %13 = broadcast scalar 4
  let v15 = vec4f(scalars[slots + 5u]);                                  // %15 = broadcast scalar 5
  let v17 = vec4f(scalars[slots + 6u]);                                  // %17 = broadcast scalar 6

  for (var i = first + 4u * thread; i < end; i += 128u) {
    let param = params[(param_at + i) / 4u];                               // %0 = param
    let grad = load_grad((grad_at + i) / 4u);                              // %1 = grad
    let exp_avg = states[(exp_avg_at + i) / 4u];                           // %2 = state exp_avg
    let exp_avg_sq = states[(exp_avg_sq_at + i) / 4u];                     // %3 = state exp_avg_sq
    let v18 = param * v5;                                                  // %18 = mul %0 %5
    let v19 = grad - exp_avg;                                              // %19 = sub %1 %2
    let v20 = v19 * v7;                                                    // %20 = mul %19 %7
    let v21 = exp_avg + v20;                                               // %21 = add %2 %20
    let v22 = exp_avg_sq * v9;                                             // %22 = mul %3 %9
    let v23 = grad * grad;                                                 // %23 = mul %1 %1
    let v24 = v23 * v11;                                                   // %24 = mul %23 %11
    let v25 = v22 + v24;                                                   // %25 = add %22 %24
    let v26 = sqrt(v25);                                                   // %26 = sqrt %25
    let v27 = v26 * v13;                                                   // %27 = mul %26 %13
    let v28 = v27 + v15;                                                   // %28 = add %27 %15
    let v29 = v21 / v28;                                                   // %29 = div %21 %28
    let v30 = v29 * v17;                                                   // %30 = mul %29 %17
    let v31 = v18 - v30;                                                   // %31 = sub %18 %30
    params[(param_at + i) / 4u] = v31;                                     // param' = %31
    states[(exp_avg_at + i) / 4u] = v21;                                   // state.exp_avg' = %21
    states[(exp_avg_sq_at + i) / 4u] = v25;                                // state.exp_avg_sq' = %25
  }
}

@compute @workgroup_size(32)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  for (var at = group.x; at < launch.count; at += groups.x) {
    let chunk = chunks[launch.first + at]; // tensor row, start, length, partial slot
    if ((tensors[chunk.x + 1u] & 1u) != 0u) { continue; }
    class_0(chunk, thread);
  }
}
