// Without a server: the frame that is wanted is decoded from the page itself, and put where a server would put it.
// Calls that come before this file is compiled each get a copy of it, so what they share is kept outside.
const shared = (window.emreelFilm ??= {wanted: null, busy: false})

const decode = async (text, type, target) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
  const image = await createImageBitmap(new Blob([bytes], {type}), {colorSpaceConversion: "none"})
  const canvas = new OffscreenCanvas(image.width, image.height)
  const context = canvas.getContext("2d", {willReadFrequently: true})
  context.drawImage(image, 0, 0)
  const rgba = context.getImageData(0, 0, image.width, image.height).data
  for (let i = 0; i < target.length; i++) target[i] = rgba[4 * i]
}

export default async ({slider, source, film, clock}) => {
  shared.wanted = slider.value
  if (shared.busy) return
  shared.busy = true
  while (source.data.frame[0] != shared.wanted) {
    const frame = shared.wanted
    const at = Math.round((frame - slider.start) / slider.step)
    await decode(film.data.gray[at], "image/jpeg", source.data.gray[0])
    await decode(film.data.code[at], "image/png", source.data.code[0])
    source.data.frame[0] = frame
    clock.text = film.data.clock[at]
    source.change.emit()
  }
  shared.busy = false
}
