// @ts-check
/** The shaders of shaders/, each put together from the parts its first line names. */
import bring from "../../shaders/bring.wgsl";
import frame from "../../shaders/frame.wgsl";
import grid from "../../shaders/grid.wgsl";
import march from "../../shaders/march.wgsl";
import pick from "../../shaders/pick.wgsl";
import ram from "../../shaders/ram.wgsl";
import view from "../../shaders/view.wgsl";

/** @type {Record<string, string>} */
const parts = { "view.wgsl": view, "ram.wgsl": ram, "march.wgsl": march };

/** @param {string} source */
function assemble(source) {
	const uses = /^\/\/ uses: (.*)$/m.exec(source);
	const before = uses ? uses[1].trim().split(/\s+/).map((name) => parts[name]) : [];
	return [...before, source].join("\n");
}

export const bringSource = assemble(bring);
export const gridSource = assemble(grid);
export const frameSource = assemble(frame);
export const pickSource = assemble(pick);

/** Shows a drawn picture, which may be smaller than the canvas; what is nearer wins. */
export const blitSource = `
@group(0) @binding(0) var<storage, read> picture: array<u32>;
@group(0) @binding(1) var<uniform> size: vec4<u32>;
struct Corner { @builtin(position) at: vec4<f32>, @location(0) uv: vec2<f32> }
struct Pixel { @location(0) colour: vec4<f32>, @builtin(frag_depth) depth: f32 }
@vertex fn corner(@builtin(vertex_index) i: u32) -> Corner {
  let p = vec2(f32((i << 1u) & 2u), f32(i & 2u));
  return Corner(vec4(p * 2.0 - 1.0, 0.0, 1.0), vec2(p.x, 1.0 - p.y));
}
@fragment fn copy(c: Corner) -> Pixel {
  let at = min(vec2<u32>(c.uv * vec2<f32>(size.xy)), size.xy - 1u);
  let i = at.x + at.y * size.x;
  let t = bitcast<f32>(picture[size.x * size.y + i]);
  return Pixel(unpack4x8unorm(picture[i]), select(t / (t + 4096.0), 1.0, t <= 0.0));
}`;
