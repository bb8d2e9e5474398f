// What every component with a Plotly figure in it begins with: the library, the theme, and `draw`.
// data: {name, figure: {data, layout} or that as JSON, height, library, revision}

function library(address) {
  if (!window.catfishPlotly) {
    window.catfishPlotly = new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = new URL(address, document.baseURI).href;
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => reject(new Error("The chart library did not load."));
      document.head.appendChild(script);
    });
  }
  return window.catfishPlotly;
}

// Every "var(--name)" in the figure becomes the value it has here and now: light or dark.
function resolved(value, style) {
  if (typeof value === "string") {
    const name = /^var\((--[\w-]+)\)$/.exec(value);
    return name ? style.getPropertyValue(name[1]).trim() || "#888" : value;
  }
  if (Array.isArray(value)) {
    return value.length > 50 && typeof value[0] === "number" ? value : value.map((item) => resolved(item, style));
  }
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolved(item, style)]));
  }
  return value;
}

function themed(layout, data, style) {
  const get = (name) => style.getPropertyValue(name).trim();
  const axis = {
    gridcolor: get("--st-border-color-light") || get("--st-border-color"),
    linecolor: get("--st-border-color"), zeroline: false, automargin: true, ticks: "",
    tickfont: { size: 12 }, title: { font: { size: 12 }, standoff: 8 },
  };
  const merged = (mine) => ({ ...axis, ...mine, title: { ...axis.title, ...(mine || {}).title } });
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: get("--st-font") || "sans-serif", color: get("--st-text-color"), size: 13 },
    margin: { l: 52, r: 12, t: 8, b: 40 },
    legend: { orientation: "h", x: 0, y: 1.02, xanchor: "left", yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
    hoverlabel: { bgcolor: get("--st-background-color"), bordercolor: get("--st-border-color"),
                  font: { color: get("--st-text-color") } },
    dragmode: window.matchMedia("(pointer: coarse)").matches ? false : "zoom",
    ...layout,
    xaxis: merged(layout.xaxis), yaxis: merged(layout.yaxis),
    height: data.height, autosize: true, uirevision: data.revision,
  };
}

const LOOKS = ["--st-text-color", "--st-background-color", "--st-border-color", "--st-font"];  // tell one theme from another

// Draw `data.figure` into the .plot inside `root`; `then(plot)` follows, unless newer data came meanwhile.
function draw(root, data, then = () => {}) {
  const plot = root.querySelector(".plot");
  plot.style.height = data.height + "px";
  plot.setAttribute("aria-label", data.name || "chart");
  root.pending = data;
  library(data.library).then((Plotly) => {
    if (root.pending !== data || !root.isConnected) return;
    const style = getComputedStyle(root);
    const now = typeof data.figure === "string" ? [...LOOKS.map((name) => style.getPropertyValue(name)),
      data.height, data.revision, data.figure].join("\n") : null;
    if (now && now === root.drawn) return then(plot);  // as it is: most charts change once an epoch, and are sent each second
    root.drawn = now;
    const told = now ? JSON.parse(data.figure) : data.figure;
    const figure = resolved(told, style);
    Plotly.react(plot, figure.data, themed(figure.layout, data, style), {
      displaylogo: false, responsive: false, doubleClick: "reset", displayModeBar: data.bar ?? "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "pan2d", "autoScale2d"],
    });
    if (!root.observer) {
      root.observer = new ResizeObserver(() => plot.offsetWidth && Plotly.Plots.resize(plot));
      root.observer.observe(plot);
    }
    then(plot);
  }).catch((error) => { plot.textContent = error.message; });
}

function cleared(root) {
  const plot = root.querySelector(".plot");
  root.drawn = null;
  if (root.observer) root.observer.disconnect();
  if (window.Plotly && plot.data) window.Plotly.purge(plot);
}
