// says what is under the mouse; all that it says also stands in the chart and its legend
const nearest = (points, x) => points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
const readScale = words => {
  const [kind, [low, high, start, end]] = [words.split(' ')[4], words.split(' ').slice(0, 4).map(Number)];
  return pixel => {
    const share = (pixel - start) / (end - start);
    const value = kind === 'log' ? low * (high / low) ** share : low + share * (high - low);
    return kind === 'whole' ? Math.round(value) : Number(value.toPrecision(3));
  };
};
const readPoints = line => line.getAttribute('points').split(' ').map(place => place.split(',').map(Number));
const readLines = svg => [...svg.querySelectorAll('g[data-name]')].reverse().map(group => ({
  name: group.dataset.name,
  colour: group.classList[1],
  points: [...group.querySelectorAll('polyline')].flatMap(readPoints),
}));
for (const svg of document.querySelectorAll('svg.plot')) {
  const x = readScale(svg.dataset.x), y = readScale(svg.dataset.y), figure = svg.closest('figure');
  const tip = document.createElement('div');
  tip.className = 'tip';
  let lines = null;
  svg.addEventListener('pointermove', event => {
    lines ||= readLines(svg);
    const box = svg.getBoundingClientRect(), frame = figure.getBoundingClientRect();
    const pixel = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
    const found = lines.map(line => ({ ...line, at: nearest(line.points, pixel) }));
    const place = nearest(found.map(line => line.at), pixel)[0];
    tip.replaceChildren(`${svg.dataset.label} ${x(place)}`);
    for (const line of found.filter(one => Math.abs(one.at[0] - place) < 3).slice(0, 12)) {
      const row = document.createElement('div'), key = document.createElement('i');
      key.className = `key ${line.colour}`;
      row.append(key, `${line.name} ${y(line.at[1])}`);
      tip.append(row);
    }
    figure.append(tip);
    const left = event.clientX - frame.left + 14;
    tip.style.left = `${Math.max(0, left + tip.offsetWidth > frame.width ? left - tip.offsetWidth - 28 : left)}px`;
    tip.style.top = `${event.clientY - frame.top + 14}px`;
  });
  svg.addEventListener('pointerleave', () => tip.remove());
}
