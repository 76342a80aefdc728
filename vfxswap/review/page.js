"use strict";
(() => {
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const frames = data.frames, report = data.report;
const judged = new Map(report.frames.map((one) => [one.frame, one]));
const limits = report.limits;
const BLUE = "#56b4e9", ORANGE = "#e69f00", DIM = "#8a8a8a", INK = "#e6e6e6";
const GAIN = 4; // of the differences

const LAYERS = ["Plate", "Comp", "Matte", "Difference"].concat(data.truth ? ["Truth", "Difference to truth"] : []);
const state = { at: 0, a: 1, b: 0, wipe: false, split: 0.5, stops: 0, view: 0, zoom: false, playing: false };

// ---------------------------------------------------------------- pictures: decoded when they are wanted, some kept

const kept = new Map(), KEEP = 48;

function decode(id) {
  const text = $(id);
  if (!text) return Promise.resolve(null);
  const image = new Image();
  image.src = "data:image/webp;base64," + text.textContent;
  return image.decode().then(() => image);
}

function pictures(at) {
  if (!kept.has(at)) {
    const n = frames[at].n;
    kept.set(at, Promise.all(["p", "c", "m", "t"].map((layer) => decode(layer + n))));
    for (const old of kept.keys()) { if (kept.size <= KEEP) break; if (old !== at) kept.delete(old); }
  } else {
    const again = kept.get(at);
    kept.delete(at); kept.set(at, again);
  }
  return kept.get(at);
}

function bytes(id) {
  const text = atob($(id).textContent), out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  return out;
}

const tables = data.views.map((_, i) => bytes("view" + i));
const N = data.table.size, OCTAVES = data.curve.octaves, TABLE_OCTAVES = data.table.octaves;

// Which part of the frame is seen, in 0..1: all of it, or the face with some room around it.
function seen() {
  const frame = frames[state.at], rect = frame.c && frame.c[2] ? frame.c : frame.t;
  if (!state.zoom || !rect || !rect[2]) return [0, 0, 1, 1];
  const side = Math.min(1, 1.35 * Math.max(rect[2] / frame.w, rect[3] / frame.h));
  const x = (rect[0] + rect[2] / 2) / frame.w - side / 2, y = (rect[1] + rect[3] / 2) / frame.h - side / 2;
  return [Math.min(Math.max(x, 0), 1 - side), Math.min(Math.max(y, 0), 1 - side), side, side];
}

// ---------------------------------------------------------------- drawing: WebGL, or the processor where there is none

const SHADER = `#version 300 es
precision highp float; precision highp sampler3D;
in vec2 at; out vec4 color;
uniform sampler2D plate, comp, matte, truth; uniform sampler3D view;
uniform vec4 seen, rectC, rectT; uniform float octaves, tableOctaves, gain, size, split, wide; uniform int a, b;
vec3 codes(int layer, vec2 uv) {
  vec3 p = texture(plate, uv).rgb;
  vec4 rect = layer == 1 ? rectC : rectT;
  vec2 inside = (uv - rect.xy) / rect.zw;
  if (layer == 0 || rect.z <= 0.0 || any(lessThan(inside, vec2(0))) || any(greaterThanEqual(inside, vec2(1)))) return p;
  return layer == 1 ? texture(comp, inside).rgb : texture(truth, inside).rgb;
}
float covered(vec2 uv) {
  vec2 inside = (uv - rectC.xy) / rectC.zw;
  if (rectC.z <= 0.0 || any(lessThan(inside, vec2(0))) || any(greaterThanEqual(inside, vec2(1)))) return 0.0;
  return texture(matte, inside).r;
}
vec3 shown(vec3 code) {
  vec3 light = exp2(code * octaves) - 1.0;
  vec3 place = log2(light * gain + 1.0) / tableOctaves;
  return texture(view, (clamp(place, 0.0, 1.0) * (size - 1.0) + 0.5) / size).rgb;
}
vec3 layer(int which, vec2 uv) {
  if (which == 2) return vec3(covered(uv));
  if (which == 3) return covered(uv) < 0.01 ? vec3(0) : ${GAIN}.0 * abs(shown(codes(1, uv)) - shown(codes(0, uv)));
  if (which == 5) return ${GAIN}.0 * abs(shown(codes(1, uv)) - shown(codes(4, uv)));
  return shown(codes(which, uv));
}
void main() {
  vec2 uv = seen.xy + at * seen.zw;
  color = vec4(layer(at.x < split ? a : b, uv), 1.0);
}`;
const CORNERS = `#version 300 es
out vec2 at;
void main() { vec2 c = vec2(gl_VertexID & 1, gl_VertexID >> 1); at = vec2(c.x, 1.0 - c.y); gl_Position = vec4(c * 2.0 - 1.0, 0, 1); }`;

function withGl(canvas) {
  const gl = canvas.getContext("webgl2", { alpha: false, antialias: false, preserveDrawingBuffer: true });
  if (!gl) return null;
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, CORNERS], [gl.FRAGMENT_SHADER, SHADER]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text); gl.compileShader(shader); gl.attachShader(program, shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
  }
  gl.linkProgram(program); gl.useProgram(program);
  const uniform = (name) => gl.getUniformLocation(program, name);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  const textures = ["plate", "comp", "matte", "truth"].map((name, unit) => {
    const texture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE0 + unit); gl.bindTexture(gl.TEXTURE_2D, texture); gl.uniform1i(uniform(name), unit);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    for (const way of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, way, gl.LINEAR);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, 1, 1, 0, gl.RGB, gl.UNSIGNED_BYTE, new Uint8Array(3));
    return texture;
  });
  const cubes = tables.map((table) => {
    const texture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE4); gl.bindTexture(gl.TEXTURE_3D, texture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R]) gl.texParameteri(gl.TEXTURE_3D, side, gl.CLAMP_TO_EDGE);
    for (const way of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_3D, way, gl.LINEAR);
    gl.texImage3D(gl.TEXTURE_3D, 0, gl.RGB8, N, N, N, 0, gl.RGB, gl.UNSIGNED_BYTE, table);
    return texture;
  });
  gl.uniform1i(uniform("view"), 4);
  gl.uniform1f(uniform("octaves"), OCTAVES); gl.uniform1f(uniform("tableOctaves"), TABLE_OCTAVES); gl.uniform1f(uniform("size"), N);
  let loaded = -1;
  return (at, images) => {
    const frame = frames[at];
    if (loaded !== at) {
      images.forEach((image, unit) => {
        if (!image) return;
        gl.activeTexture(gl.TEXTURE0 + unit);
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, gl.RGB, gl.UNSIGNED_BYTE, image);
      });
      loaded = at;
    }
    gl.activeTexture(gl.TEXTURE4); gl.bindTexture(gl.TEXTURE_3D, cubes[state.view]);
    const part = (rect) => rect ? [rect[0] / frame.w, rect[1] / frame.h, rect[2] / frame.w, rect[3] / frame.h] : [0, 0, 0, 0];
    gl.uniform4f(uniform("seen"), ...seen()); gl.uniform4f(uniform("rectC"), ...part(frame.c)); gl.uniform4f(uniform("rectT"), ...part(frame.t));
    gl.uniform1f(uniform("gain"), 2 ** state.stops); gl.uniform1f(uniform("split"), state.wipe ? state.split : 2);
    gl.uniform1i(uniform("a"), state.a); gl.uniform1i(uniform("b"), state.b);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  };
}

// The display code of an 8-bit code triple, by the table with the cells' corners weighed; `place` has 256 positions.
function look(table, place, r, g, b, out) {
  const x = place[r], y = place[g], z = place[b];
  const x0 = Math.min(x | 0, N - 2), y0 = Math.min(y | 0, N - 2), z0 = Math.min(z | 0, N - 2);
  const fx = x - x0, fy = y - y0, fz = z - z0, base = ((z0 * N + y0) * N + x0) * 3, dy = 3 * N, dz = 3 * N * N;
  for (let i = 0; i < 3; i++) {
    const at = base + i;
    const low = (table[at] * (1 - fx) + table[at + 3] * fx) * (1 - fy) + (table[at + dy] * (1 - fx) + table[at + dy + 3] * fx) * fy;
    const high = (table[at + dz] * (1 - fx) + table[at + dz + 3] * fx) * (1 - fy) + (table[at + dz + dy] * (1 - fx) + table[at + dz + dy + 3] * fx) * fy;
    out[i] = low * (1 - fz) + high * fz;
  }
}

function places(stops) {
  return Float32Array.from({ length: 256 }, (_, code) =>
    Math.min(1, Math.log2((2 ** (code / 255 * OCTAVES) - 1) * 2 ** stops + 1) / TABLE_OCTAVES) * (N - 1));
}

function pixels(image) {
  if (!image) return null;
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

// Fill `target` (ImageData) with the part `view` of a frame; `which(x)` is the layer of a column.
function paint(target, frame, held, view, table, place, which) {
  const [plate, comp, matte, truth] = held, out = target.data, a = [0, 0, 0], b = [0, 0, 0];
  const from = (layer, x, y) => {
    const rect = layer === 1 ? frame.c : layer === 4 ? frame.t : null, image = layer === 1 ? comp : truth;
    if (rect && image && x >= rect[0] && y >= rect[1] && x < rect[0] + rect[2] && y < rect[1] + rect[3])
      return [image.data, ((y - rect[1]) * image.width + x - rect[0]) * 4];
    return [plate.data, (y * plate.width + x) * 4];
  };
  const coloured = (layer, x, y, to) => { const [d, i] = from(layer, x, y); look(table, place, d[i], d[i + 1], d[i + 2], to); };
  const cover = (x, y) => {
    const r = frame.c;
    return r && matte && x >= r[0] && y >= r[1] && x < r[0] + r[2] && y < r[1] + r[3] ? matte.data[((y - r[1]) * matte.width + x - r[0]) * 4] : 0;
  };
  for (let row = 0; row < target.height; row++) {
    const y = Math.min(frame.h - 1, Math.floor((view[1] + (row + 0.5) / target.height * view[3]) * frame.h));
    for (let column = 0; column < target.width; column++) {
      const x = Math.min(frame.w - 1, Math.floor((view[0] + (column + 0.5) / target.width * view[2]) * frame.w));
      const layer = which(column), i = (row * target.width + column) * 4;
      if (layer === 2) a[0] = a[1] = a[2] = cover(x, y);
      else if (layer === 3 || layer === 5) {
        if (layer === 3 && cover(x, y) < 3) a[0] = a[1] = a[2] = 0;
        else {
          coloured(1, x, y, a); coloured(layer === 3 ? 0 : 4, x, y, b);
          for (let k = 0; k < 3; k++) a[k] = GAIN * Math.abs(a[k] - b[k]);
        }
      } else coloured(layer, x, y, a);
      out[i] = a[0]; out[i + 1] = a[1]; out[i + 2] = a[2]; out[i + 3] = 255;
    }
  }
}

function withProcessor(canvas) {
  const context = canvas.getContext("2d", { alpha: false });
  let loaded = -1, held = null;
  return (at, images) => {
    if (loaded !== at) { held = images.map(pixels); loaded = at; }
    const target = context.createImageData(canvas.width, canvas.height), edge = state.split * canvas.width;
    paint(target, frames[at], held, seen(), tables[state.view], places(state.stops), (x) => (!state.wipe || x + 0.5 < edge ? state.a : state.b));
    context.putImageData(target, 0, 0);
  };
}

const picture = $("picture");
picture.width = frames[0].w; picture.height = frames[0].h;
let draw = location.hash === "#processor" ? null : withGl(picture);
document.body.dataset.drawing = draw ? "webgl" : "processor";
if (!draw) draw = withProcessor(picture);

let wanted = 0;
async function show() {
  const at = state.at, turn = ++wanted;
  const images = await pictures(at);
  if (turn !== wanted) return;
  draw(at, images);
  document.body.dataset.shown = frames[at].n;
  for (let next = 1; next <= 4; next++) if (at + next < frames.length) pictures(at + next);
}

// ---------------------------------------------------------------- the page around the picture

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

const measured = limits.filter((limit) => !(limit.name in report.unmeasured));
const beyond = (limit, value) => value !== null && ((limit.most !== null && value > limit.most) || (limit.least !== null && value < limit.least));
const said = (value) => (value === null ? "–" : Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2));

function go(at) {
  state.at = Math.min(Math.max(at, 0), frames.length - 1);
  update();
}

function update() {
  const frame = frames[state.at], one = judged.get(frame.n);
  Object.assign(document.body.dataset, { frame: frame.n, layer: LAYERS[state.a], wipe: state.wipe, stops: state.stops, view: data.views[state.view], playing: state.playing });
  $("frame").textContent = frame.n;
  $("timecode").textContent = frame.tc;
  $("count").textContent = `${state.at + 1} of ${frames.length}`;
  $("play").textContent = state.playing ? "Stop" : "Play";
  [...$("layers").children].forEach((button, i) => button.setAttribute("aria-pressed", i === state.a));
  $("other").value = state.b; $("wipe").checked = state.wipe; $("zoom").checked = state.zoom;
  $("stops").value = state.stops; $("stopsShown").textContent = `${state.stops > 0 ? "+" : ""}${state.stops} stops`;
  $("view").value = state.view;
  $("handle").style.display = state.wipe ? "block" : "none";
  $("handle").style.left = `${100 * state.split}%`;
  $("handle").setAttribute("aria-valuenow", Math.round(100 * state.split));
  const labelled = (layer) => LAYERS[layer] + (layer === 3 || layer === 5 ? ` × ${GAIN}` : "") + (layer === 1 ? " (altered)" : "");
  $("tagA").textContent = labelled(state.a) + (frame.c ? "" : " – no output here");
  $("tagB").textContent = labelled(state.b); $("tagB").style.display = state.wipe ? "block" : "none";
  const now = $("now");
  now.replaceChildren();
  if (!one) now.append(element("p", "Not measured."));
  else {
    now.append(element("p", one.state === "swapped" ? (one.alarms.length ? `Score ${one.score.toFixed(2)}: beyond its limits` : `Score ${one.score.toFixed(2)}: within its limits`) : one.state));
    const list = element("ul");
    for (const reason of one.reasons) list.append(element("li", reason, "beyond"));
    for (const note of one.notes) list.append(element("li", note));
    if (list.children.length) now.append(list);
  }
  for (const button of $("worst").children) button.setAttribute("aria-current", Number(button.dataset.frame) === frame.n);
  plots.forEach((plot) => plot());
  show();
}

// ---------------------------------------------------------------- plots: shape and place tell as much as colour

const plots = [];

// `paintOn` draws what does not change with the frame, once for each width; `tell` says what does.
function plot(canvas, height, values, paintOn, tell) {
  const context = canvas.getContext("2d"), still = document.createElement("canvas");
  const left = (at) => (at + 0.5) / frames.length * canvas.width;
  plots.push(() => {
    if (!canvas.clientWidth) return; // folded away
    const ratio = window.devicePixelRatio || 1, wide = Math.round(canvas.clientWidth * ratio);
    if (still.width !== wide || still.height !== height * ratio) {
      canvas.width = still.width = wide; canvas.height = still.height = height * ratio;
      const drawn = still.getContext("2d");
      drawn.lineWidth = ratio;
      paintOn(drawn, left, still, ratio);
    }
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(still, 0, 0);
    context.fillStyle = INK;
    context.fillRect(left(state.at) - ratio / 2, 0, ratio, canvas.height);
    tell(values[state.at]);
  });
  const seek = (event) => {
    const box = canvas.getBoundingClientRect();
    go(Math.floor((event.clientX - box.left) / box.width * frames.length));
  };
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); seek(event); });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons) seek(event);
    const box = canvas.getBoundingClientRect(), at = Math.floor((event.clientX - box.left) / box.width * frames.length);
    if (frames[at]) canvas.title = `${frames[at].n}: ${said(values[at])}`;
  });
}

function mark(context, x, y, size) {
  context.fillStyle = ORANGE;
  context.beginPath(); context.moveTo(x, y - size); context.lineTo(x + size, y + size * 0.8); context.lineTo(x - size, y + size * 0.8); context.fill();
}

function timeline() {
  const scores = frames.map((frame) => (judged.has(frame.n) ? judged.get(frame.n).score : null));
  const top = Math.max(1.5, ...scores.map((score) => score || 0));
  plot($("timeline"), 46, scores, (context, left, canvas, ratio) => {
    const wide = Math.max(1, canvas.width / frames.length - ratio), at = (score) => canvas.height - 2 - score / top * (canvas.height - 10 * ratio);
    scores.forEach((score, i) => {
      if (score === null) return;
      const alarmed = judged.get(frames[i].n).alarms.length > 0;
      context.fillStyle = alarmed ? "#8a6a1e" : "#2f5d78";
      context.fillRect(left(i) - wide / 2, at(score), wide, canvas.height);
      if (alarmed && wide > 3 * ratio) mark(context, left(i), at(score) - 3 * ratio, Math.min(3.5 * ratio, wide / 2));
    });
    context.strokeStyle = DIM; context.setLineDash([4 * ratio, 3 * ratio]);
    context.beginPath(); context.moveTo(0, at(1)); context.lineTo(canvas.width, at(1)); context.stroke(); context.setLineDash([]);
  }, (score) => {
    const alarmed = score !== null && judged.get(frames[state.at].n).alarms.length > 0;
    $("score").textContent = (alarmed ? "▲ " : "") + said(score);
    $("score").className = alarmed ? "value beyond" : "value";
  });
}

function curve(limit) {
  const row = element("div", undefined, "curve"), name = element("div", limit.label, "name"), canvas = element("canvas"), value = element("div", "", "value");
  if (limit.unit) name.append(element("br"), element("small", limit.unit));
  row.title = limit.about; row.dataset.measure = limit.name;
  row.append(name, canvas, value);
  const values = frames.map((frame) => (judged.has(frame.n) ? judged.get(frame.n).values[limit.name] : null));
  const known = values.filter((one) => one !== null), bounds = [limit.most, limit.least].filter((one) => one !== null);
  let low = Math.min(...known, ...bounds, limit.least === null ? 0 : Infinity), high = Math.max(...known, ...bounds);
  const room = (high - low || 1) * 0.08;
  low -= room; high += room;
  plot(canvas, 38, values, (context, left, drawn, ratio) => {
    const at = (one) => drawn.height - (one - low) / (high - low) * drawn.height;
    context.strokeStyle = DIM; context.setLineDash([4 * ratio, 3 * ratio]);
    for (const bound of bounds) { context.beginPath(); context.moveTo(0, at(bound)); context.lineTo(drawn.width, at(bound)); context.stroke(); }
    context.setLineDash([]); context.strokeStyle = context.fillStyle = BLUE; context.lineWidth = 1.5 * ratio;
    context.beginPath();
    values.forEach((one, i) => {
      if (one === null) return;
      if (i === 0 || values[i - 1] === null || frames[i - 1].n !== frames[i].n - 1) context.moveTo(left(i), at(one)); else context.lineTo(left(i), at(one));
      if ((i === 0 || values[i - 1] === null) && (i + 1 === values.length || values[i + 1] === null)) context.fillRect(left(i) - ratio, at(one) - ratio, 2 * ratio, 2 * ratio);
    });
    context.stroke();
    values.forEach((one, i) => { if (beyond(limit, one)) mark(context, left(i), at(one), Math.max(2.2, Math.min(3.2, drawn.width / frames.length / 2 / ratio)) * ratio); });
  }, (one) => {
    value.textContent = beyond(limit, one) ? `▲ ${said(one)}` : said(one);
    value.className = beyond(limit, one) ? "value beyond" : "value";
  });
  return row;
}

function curves() {
  const alarmed = measured.filter((limit) => report.summary.alarms[limit.name]);
  const quiet = measured.filter((limit) => !report.summary.alarms[limit.name]);
  for (const limit of alarmed) $("curves").append(curve(limit));
  const rest = element("details"), more = element("summary", `${quiet.length} measures within their limits`);
  rest.append(more);
  for (const limit of quiet) rest.append(curve(limit));
  rest.open = alarmed.length < 4;
  rest.addEventListener("toggle", () => plots.forEach((one) => one()));
  if (quiet.length) $("quiet").append(rest);
}

async function worst() {
  const place = places(0), strip = $("worst");
  const listed = report.worst.slice(0, 12).map((one) => [one, frames.findIndex((frame) => frame.n === one.frame)]).filter((pair) => pair[1] >= 0);
  if (!listed.length) { strip.append(element("p", "No frame is beyond a limit.")); return; }
  const canvases = listed.map(([one, at]) => {
    const button = element("button"), canvas = element("canvas");
    canvas.width = 228; canvas.height = 164;
    button.dataset.frame = one.frame; button.title = one.reason;
    button.append(canvas, element("b", `▲ ${one.frame}`), element("small", one.reasons[0]));
    button.addEventListener("click", () => go(at));
    strip.append(button);
    return canvas;
  });
  for (let i = 0; i < listed.length; i++) {
    const at = listed[i][1], frame = frames[at], rect = frame.c && frame.c[2] ? frame.c : [0, 0, frame.w, frame.h];
    const images = (await Promise.all(["p", "c"].map((layer) => decode(layer + frame.n)))).map(pixels);
    const tall = Math.min(frame.h, rect[3] * 1.1), wide = Math.min(frame.w, tall * 228 / 164);
    const x = Math.min(Math.max(rect[0] + rect[2] / 2 - wide / 2, 0), frame.w - wide), y = Math.min(Math.max(rect[1] + rect[3] / 2 - tall / 2, 0), frame.h - tall);
    const context = canvases[i].getContext("2d"), target = context.createImageData(228, 164);
    paint(target, frame, [images[0], images[1], null, null], [x / frame.w, y / frame.h, wide / frame.w, tall / frame.h], tables[0], place, () => 1);
    context.putImageData(target, 0, 0);
  }
}

function facts(into, pairs) {
  const list = element("dl");
  for (const [label, text] of pairs) list.append(element("dt", label), element("dd", text));
  into.append(list);
}

function panels() {
  const summary = report.summary, names = Object.fromEntries(limits.map((limit) => [limit.name, limit.label]));
  const pairs = [["frames", `${summary.frames}, ${summary.swapped} swapped`], ["beyond limits", `${summary.alarmed} frames`]];
  if (summary.throughout.length) pairs.push(["throughout", summary.throughout.map((name) => names[name]).join("\n")]);
  if (report.missing) pairs.push(["no output for", report.missing]);
  for (const one of report.failed) pairs.push([`frame ${one.frame}`, one.reason]);
  for (const [name, why] of Object.entries(report.unmeasured)) pairs.push([names[name], `not measured: ${why}`]);
  pairs.push(["color", `${data.config.working_space}, ${data.config.id}`], ["made with", report.software]);
  facts($("shot"), pairs);
  const into = $("provenance");
  into.append(element("p", data.panel.verdict, `verdict ${data.panel.state}`));
  if (data.panel.findings.length) {
    const list = element("ul");
    for (const finding of data.panel.findings) list.append(element("li", finding));
    into.append(list);
  }
  facts(into, Object.entries(data.panel.facts));
}

// ---------------------------------------------------------------- what people do

let before = 0;
function tick(time) {
  if (!state.playing) return;
  if (time - before >= 1000 / data.fps - 2 && document.body.dataset.shown === String(frames[state.at].n)) {
    before = time;
    state.at = (state.at + 1) % frames.length;
    update();
  }
  requestAnimationFrame(tick);
}

function play(on) {
  state.playing = on;
  update();
  if (on) requestAnimationFrame(tick);
}

function choose(layer, right) {
  if (layer >= LAYERS.length) return;
  if (right) { state.b = layer; state.wipe = true; } else state.a = layer;
  update();
}

function expose(stops) {
  state.stops = Math.min(6, Math.max(-6, stops));
  update();
}

function nextWorst(step) {
  const list = report.worst.map((one) => frames.findIndex((frame) => frame.n === one.frame)).filter((at) => at >= 0).sort((x, y) => x - y);
  if (!list.length) return;
  const found = step > 0 ? list.find((at) => at > state.at) : [...list].reverse().find((at) => at < state.at);
  go(found === undefined ? list[step > 0 ? 0 : list.length - 1] : found);
}

const KEYS = {
  ArrowLeft: (event) => go(state.at - (event.shiftKey ? 10 : 1)), ArrowRight: (event) => go(state.at + (event.shiftKey ? 10 : 1)),
  Home: () => go(0), End: () => go(frames.length - 1), Space: () => play(!state.playing),
  ArrowUp: () => expose(state.stops + 0.5), ArrowDown: () => expose(state.stops - 0.5), Digit0: () => expose(0),
  KeyW: () => { state.wipe = !state.wipe; update(); }, KeyZ: () => { state.zoom = !state.zoom; update(); },
  KeyV: () => { state.view = (state.view + 1) % data.views.length; update(); },
  KeyN: () => nextWorst(1), KeyP: () => nextWorst(-1),
};
for (let i = 0; i < 6; i++) KEYS[`Digit${i + 1}`] = (event) => choose(i, event.shiftKey);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("select")) return;
  if (event.target.matches("input[type=range]") && event.code.startsWith("Arrow")) return;
  if (event.target.matches("button, summary, input") && event.code === "Space") return;
  const does = KEYS[event.code];
  if (!does) return;
  event.preventDefault();
  does(event);
});

const stage = $("stage");
let dragging = false;
const wipeTo = (event) => {
  const box = stage.getBoundingClientRect();
  state.split = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  update();
};
stage.addEventListener("pointerdown", (event) => {
  picture.focus({ preventScroll: true });
  if (!state.wipe) return;
  dragging = true;
  stage.setPointerCapture(event.pointerId);
  wipeTo(event);
});
stage.addEventListener("pointermove", (event) => { if (dragging) wipeTo(event); });
for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, () => { dragging = false; });

LAYERS.forEach((layer, i) => {
  const button = element("button", layer);
  button.title = `Key ${i + 1}`;
  button.addEventListener("click", () => choose(i, false));
  $("layers").append(button);
  const option = element("option", layer);
  option.value = i;
  $("other").append(option);
});
data.views.forEach((view, i) => { const option = element("option", view); option.value = i; $("view").append(option); });
$("play").addEventListener("click", () => play(!state.playing));
$("wipe").addEventListener("change", (event) => { state.wipe = event.target.checked; update(); });
$("zoom").addEventListener("change", (event) => { state.zoom = event.target.checked; update(); });
$("other").addEventListener("change", (event) => choose(Number(event.target.value), true));
$("stops").addEventListener("input", (event) => expose(Number(event.target.value)));
$("view").addEventListener("change", (event) => { state.view = Number(event.target.value); update(); });
window.addEventListener("resize", () => plots.forEach((one) => one()));

timeline();
curves();
panels();
worst().then(() => { document.body.dataset.ready = true; });
update();
})();
