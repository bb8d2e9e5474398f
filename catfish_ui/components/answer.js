// What the network says about one photo, and where it looked.
// data: {label, sure, truth, right, name, bars: [{name, value, text}], rest, photo, heatmap, note}
// The slider works here alone: nothing is sent. All answers on a page share it.
const START = 0.5;

function element(kind, name, text) {
  const made = document.createElement(kind);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

function bar(item, best) {
  const row = element("div", best ? "bar best" : "bar");
  const line = row.appendChild(element("div", "line"));
  line.append(element("span", "", item.name), element("span", "", item.text));
  const track = row.appendChild(element("div", "track"));
  const fill = track.appendChild(element("div", "fill"));
  fill.style.width = Math.max(0, Math.min(100, item.value * 100)) + "%";
  return row;
}

function source(image, kind, base64) {
  const address = `data:image/${kind};base64,${base64}`;
  if (image.getAttribute("src") !== address) image.src = address;
}

export default function (component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector(".answer");
  const find = (selector) => root.querySelector(selector);
  find(".label").textContent = data.label;
  find(".sure").textContent = data.sure;
  find(".name").textContent = data.name;
  const truth = find(".truth");
  truth.hidden = !data.truth;
  truth.textContent = data.truth || "";
  truth.className = "truth " + (data.right ? "right" : "wrong");
  find(".bars").replaceChildren(...data.bars.map((item, n) => bar(item, n === 0)));
  if (data.rest) find(".bars").append(element("div", "rest", data.rest));
  find(".looks").classList.toggle("plain", !data.heatmap);
  for (const figure of root.querySelectorAll(".warm, .mixed")) figure.hidden = !data.heatmap;
  for (const image of root.querySelectorAll("img.photo")) source(image, "jpeg", data.photo);
  if (data.heatmap) for (const image of root.querySelectorAll("img.heat")) source(image, "png", data.heatmap);
  find(".note").textContent = data.note;
  find(".note").hidden = !data.note;

  const slider = find("input");
  const set = (value) => {
    slider.value = value;
    find("img.over").style.opacity = value;
  };
  set(window.catfishOpacity ?? START);
  if (!root.listener) {
    root.listener = (event) => set(event.detail);
    window.addEventListener("catfish-opacity", root.listener);
    slider.oninput = () => {
      window.catfishOpacity = Number(slider.value);
      window.dispatchEvent(new CustomEvent("catfish-opacity", { detail: window.catfishOpacity }));
    };
  }
  return () => {
    window.removeEventListener("catfish-opacity", root.listener);
    root.listener = null;
  };
}
