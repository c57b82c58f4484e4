// AdamW f32 hasFirstMoment: phase 0

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

// kernel "AdamW f32 hasFirstMoment"
fn class_0(chunk: vec4u, thread: u32) {
  let param_at = tensors[chunk.x + 4u];
  let grad_at = tensors[chunk.x + 5u];
  let exp_avg_at = tensors[chunk.x + 6u];
  let exp_avg_sq_at = tensors[chunk.x + 7u];
  let slots = tensors[chunk.x + 2u];
  let first = chunk.y;
  let end = first + chunk.z;

  // What all elements share.
  let v3 = vec4f(scalars[slots + 0u]);                                   // %3 = broadcast scalar 0
  let v9 = vec4f(scalars[slots + 1u]);                                   // %9 = broadcast scalar 1
  let v13 = vec4f(scalars[slots + 2u]);                                  // %13 = broadcast scalar 2
  let v16 = vec4f(scalars[slots + 3u]);                                  // %16 = broadcast scalar 3
  let v22 = vec4f(scalars[slots + 4u]);                                  // %22 = broadcast scalar 4
  let v25 = vec4f(scalars[slots + 5u]);                                  // %25 = broadcast scalar 5
  let v29 = vec4f(scalars[slots + 6u]);                                  // %29 = broadcast scalar 6

  for (var i = first + 4u * thread; i < end; i += 128u) {
    let param = params[(param_at + i) / 4u];                               // %0 = param
    let grad = load_grad((grad_at + i) / 4u);                              // %1 = grad
    let v4 = param * v3;                                                   // %4 = mul %0 %3
    let exp_avg = states[(exp_avg_at + i) / 4u];                           // %6 = state exp_avg
    let v8 = grad - exp_avg;                                               // %8 = sub %1 %6
    let v10 = v9 * v8;                                                     // %10 = mul %9 %8
    let v11 = exp_avg + v10;                                               // %11 = add %6 %10
    let exp_avg_sq = states[(exp_avg_sq_at + i) / 4u];                     // %12 = state exp_avg_sq
    let v14 = v13 * exp_avg_sq;                                            // %14 = mul %13 %12
    let v17 = v16 * grad;                                                  // %17 = mul %16 %1
    let v18 = v17 * grad;                                                  // %18 = mul %17 %1
    let v19 = v14 + v18;                                                   // %19 = add %14 %18
    let v20 = sqrt(v19);                                                   // %20 = sqrt %19
    let v23 = v20 * v22;                                                   // %23 = mul %20 %22
    let v26 = v23 + v25;                                                   // %26 = add %23 %25
    let v28 = v11 / v26;                                                   // %28 = div %11 %26
    let v30 = v29 * v28;                                                   // %30 = mul %29 %28
    let v31 = v4 - v30;                                                    // %31 = sub %4 %30
    params[(param_at + i) / 4u] = v31;                                     // param' = %31
    states[(exp_avg_at + i) / 4u] = v11;                                   // state.exp_avg' = %11
    states[(exp_avg_sq_at + i) / 4u] = v19;                                // state.exp_avg_sq' = %19
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

