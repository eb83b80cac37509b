// Keys for the whole page, wherever no text is being written.
export default ({slider, toggle, opacity, layer}) => {
  if (window.emreelKeys) document.removeEventListener("keydown", window.emreelKeys)
  let before = opacity.value
  const clip = (value) => Math.max(slider.start, Math.min(slider.end, value))
  const moves = {
    ArrowRight: () => { slider.value = clip(slider.value + slider.step) },
    ArrowLeft: () => { slider.value = clip(slider.value - slider.step) },
    PageDown: () => { slider.value = clip(slider.value + 10 * slider.step) },
    PageUp: () => { slider.value = clip(slider.value - 10 * slider.step) },
    Home: () => { slider.value = slider.start },
    End: () => { slider.value = slider.end },
    " ": () => { toggle.active = !toggle.active },
    "o": () => {
      if (opacity.value > 0) { before = opacity.value; opacity.value = 0 } else { opacity.value = before || 0.5 }
    },
    "l": () => {
      if (!layer) return
      const at = layer.options.indexOf(layer.value)
      layer.value = layer.options[(at + 1) % layer.options.length]
    },
  }
  window.emreelKeys = (event) => {
    const target = event.composedPath()[0]
    const writing = ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName) && target.type != "color"
    const onHandle = target.classList && target.classList.contains("noUi-handle")
    if (writing || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
    if (onHandle && event.key != " " && event.key.length > 1) return  // the slider hears these itself
    const move = moves[event.key]
    if (move) { event.preventDefault(); move() }
  }
  document.addEventListener("keydown", window.emreelKeys)
}
