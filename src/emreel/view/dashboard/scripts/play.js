// Show frame after frame: the next one is asked for when the last one is on the screen, and not sooner than wanted.
let timer = null

export default ({toggle, slider, speed, source}) => {
  clearTimeout(timer)
  toggle.label = toggle.active ? "❚❚ Pause" : "▶ Play"
  if (!toggle.active) return
  let due = performance.now()
  const next = () => {
    if (!toggle.active) return
    const now = performance.now()
    if (now >= due && source.data.frame[0] == slider.value) {
      due = Math.max(now, due + 1000 / Number(speed.value))
      slider.value = slider.value >= slider.end ? slider.start : slider.value + slider.step
    }
    timer = setTimeout(next, 5)
  }
  next()
}
