// A Plotly figure that keeps its node, its zoom and its hidden traces while the data change; see plotly.js.
export default function (component) {
  const root = component.parentElement.querySelector(".catfish-chart");
  draw(root, component.data);
  return () => cleared(root);
}
