// The line at the frame that is shown, in every chart.
export default ({slider, times, spans}) => {
  const at = times.data.x[slider.value]
  if (at === undefined) return
  for (const span of spans) span.location = at
}
