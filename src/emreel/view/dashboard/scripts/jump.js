// A click on a chart shows the frame nearest to it.
export default ({slider, times}, event) => {
  const x = times.data.x
  let best = 0
  for (let i = 1; i < x.length; i++) if (Math.abs(x[i] - event.x) < Math.abs(x[best] - event.x)) best = i
  slider.value = best
}
