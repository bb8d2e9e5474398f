// Photos in a grid. data: {items: [{jpeg, title, note}], side}
export default function (component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector(".gallery");
  root.style.gridTemplateColumns = `repeat(auto-fill, minmax(${data.side}px, 1fr))`;
  root.replaceChildren(...data.items.map((item) => {
    const figure = document.createElement("figure");
    const frame = figure.appendChild(document.createElement("div"));
    frame.className = "frame";
    const image = frame.appendChild(document.createElement("img"));
    image.src = "data:image/jpeg;base64," + item.jpeg;
    image.alt = item.title || "photo";
    const caption = document.createElement("figcaption");
    for (const part of ["title", "note"]) {
      if (!item[part]) continue;
      const line = caption.appendChild(document.createElement("div"));
      line.className = part;
      line.textContent = item[part];
    }
    if (caption.childElementCount) figure.appendChild(caption);
    return figure;
  }));
}
