// predict(frames) -> {predictions: [T], probabilities: [T][V] or null, values:
// [V]}, by `POST /predict`; a frame is a Uint8Array of 784.
const predict = async frames => {
  const answer = await fetch("predict", { method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ frames: frames.map(x => Array.from(x)) }) });
  if (!answer.ok) throw new Error([413, 422].includes(answer.status) ?
    "the sequence is too long for the server" :
    `the server answered ${answer.status}`);
  return answer.json();
};
