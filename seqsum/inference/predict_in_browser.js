// predict(frames) -> {predictions: [T], probabilities: [T][V] or null}, in the
// browser by ONNX Runtime, which the page contains as gzip in base64.
const unpack = async id => {
  const text = document.getElementById(id).textContent;
  const bytes = Uint8Array.from(atob(text), x => x.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(
    new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(plain).arrayBuffer());
};
const started = (async () => {
  const source = new Blob([await unpack("runtime")],
    { type: "text/javascript" });
  const ort = await import(URL.createObjectURL(source));
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await unpack("wasm");
  const session = await ort.InferenceSession.create(
    await unpack("network"),
    { logSeverityLevel: 3 }); // errors only
  return { ort, session };
})();
const predict = async frames => {
  const { ort, session } = await started;
  const data = new Float32Array(784 * frames.length);
  frames.forEach((x, t) => x.forEach((ink, i) => {
    data[784 * t + i] = ink / 255;
  }));
  const shape = [1, frames.length, 28, 28, 1];
  const outputs = await session.run(
    { frames: new ort.Tensor("float32", data, shape) });
  const shares = outputs.probabilities;
  const wide = shares && shares.dims[2];
  return { predictions: Array.from(outputs.predictions.data),
    probabilities: !shares ? null : frames.map((_, t) =>
      Array.from(shares.data.slice(t * wide, (t + 1) * wide))) };
};
