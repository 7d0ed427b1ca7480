// The map viewer on Leaflet: what Leaflet has not, namely planetary views, a scale on a sphere, a graticule, measuring and rims.
(() => {
  const V = JSON.parse(document.getElementById('viewer-data').textContent), rad = Math.PI / 180, deg = 180 / Math.PI;
  const place = document.getElementById('viewer'), out = id => document.getElementById('viewer-' + id);
  const wrap = lon => ((lon + 180) % 360 + 360) % 360 - 180;
  // Views: plane coordinates in degrees of the equator (x right, y up), which Leaflet holds as (lat, lng) = (y, x).
  const views = {
    cylindrical: { to: (lon, lat) => [lat, V.lon0 + wrap(lon - V.lon0)], from: (y, x) => [x, y] },
    north: polar(1), south: polar(-1) };
  function polar(side) { return {
    to: (lon, lat) => { const rho = 2 * deg * Math.tan((90 - side * lat) * rad / 2), a = lon * rad;
      return [-side * rho * Math.cos(a), rho * Math.sin(a)]; },
    from: (y, x) => { const lat = side * (90 - 2 * Math.atan(Math.hypot(x, y) / 2 * rad) * deg);
      return [Math.atan2(x, -side * y) * deg, lat]; } }; }
  const distance = (a, b) => { const p = a[1] * rad, q = b[1] * rad, d = (b[0] - a[0]) * rad;
    return V.radius * 2 * Math.asin(Math.min(1, Math.sqrt(Math.sin((q - p) / 2) ** 2 + Math.cos(p) * Math.cos(q) * Math.sin(d / 2) ** 2))); };
  const around = (lon, lat, metres, n = 48) => { const d = metres / V.radius, p = lat * rad; return Array.from({ length: n + 1 }, (_, i) => {
    const b = 2 * Math.PI * i / n, q = Math.asin(Math.sin(p) * Math.cos(d) + Math.cos(p) * Math.sin(d) * Math.cos(b));
    return [lon + Math.atan2(Math.sin(b) * Math.sin(d) * Math.cos(p), Math.cos(d) - Math.sin(p) * Math.sin(q)) * deg, q * deg]; }); };
  const round = about => { const p = 10 ** Math.floor(Math.log10(about)); return [5, 2, 1].map(s => s * p).find(s => s <= about) || p; };
  const lines = (points, view) => { const parts = [[]]; points.forEach((point, i) => { const at = view.to(...point), last = parts.at(-1).at(-1);
    if (last && Math.hypot(at[0] - last[0], at[1] - last[1]) > 90) parts.push([]); parts.at(-1).push(at); }); return parts; };
  const text = value => String(value).replace(/[&<>"]/g, c => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }[c]));
  const number = lon => `${Math.abs(lon).toFixed(3)}`;
  let bounds, map, view, name, measured = null, grid, shown = {};

  // A ring of tiles around the window is fetched as well, after those within it: short steps then wait for nothing.
  const Tiles = L.TileLayer.extend({ _getTiledPixelBounds(centre) { const seen = L.TileLayer.prototype._getTiledPixelBounds.call(this, centre);
    return L.bounds(seen.min.subtract(this.getTileSize()), seen.max.add(this.getTileSize())); } });

  function open(which) {
    const centre = map ? view.from(map.getCenter().lat, map.getCenter().lng) : null, zoom = map && map.getZoom();
    if (map) map.remove();
    name = which; view = views[which];
    bounds = which === 'cylindrical' ? [[V.bounds[1], V.bounds[0]], [V.bounds[3], V.bounds[2]]] : [[-115, -115], [115, 115]];
    map = L.map(place, { crs: L.CRS.Simple, preferCanvas: true, minZoom: -1, maxZoom: V.maxZoom + 3, zoomSnap: 0.5, attributionControl: false, fadeAnimation: false,
      maxBounds: L.latLngBounds(bounds).pad(0.3) });
    map.fitBounds(bounds);
    if (centre && which === 'cylindrical') map.setView(view.to(...centre), zoom);
    shown = {}; V.layers.forEach(add); graticule();
    map.on('moveend', () => { graticule(); scale(); sharpen(); }); scale();
    map.on('mousemove', event => coordinates(event.latlng)); map.on('click', event => measure(event.latlng));
    place.dataset.view = which;
  }

  function add(layer) {
    let made;
    if (layer.kind === 'tiles') made = new Tiles(layer.url.replace('{view}', name), { minZoom: -1, maxZoom: V.maxZoom + 3, minNativeZoom: 0,
      maxNativeZoom: V.maxZoom, opacity: layer.opacity, keepBuffer: 3, bounds });
    else if (layer.kind === 'image') { made = L.imageOverlay(layer.url.replace('{level}', level()), name === 'cylindrical' ? bounds :
      [[-V.polar, -V.polar], [V.polar, V.polar]], { opacity: layer.opacity, alt: layer.label }); made.levels = layer.url; }
    else if (layer.kind === 'circles') made = L.layerGroup(layer.items.filter(visible).map(([id, lon, lat, radius, colour]) => {
      const rim = L.polyline(lines(around(lon, lat, radius), view), { color: colour || layer.colour, weight: 2, opacity: layer.opacity });
      return rim.on('click', event => { L.DomEvent.stop(event); crater(layer, id, lon, lat, radius); }); }));
    else made = L.layerGroup(layer.items.map(points => L.polyline(lines(points, view),
      { color: layer.colour, weight: 1.5, opacity: layer.opacity })));
    shown[layer.id] = made; if (layer.on) made.addTo(map);
  }
  // The narrowest picture that has a pixel for each of the screen's; around a pole there is one.
  const level = () => { if (name !== 'cylindrical') return name; const wanted = (V.bounds[2] - V.bounds[0]) * 2 ** map.getZoom() * (globalThis.devicePixelRatio || 1);
    return V.levels.find(width => width >= wanted) || V.levels.at(-1); };
  function sharpen() { Object.values(shown).filter(one => one.levels).forEach(one => { const url = one.levels.replace('{level}', level());
    if (one._url !== url) one.setUrl(url); }); }
  const visible = ([, , lat]) => name === 'cylindrical' || (name === 'north' ? lat : -lat) > -10;

  function crater(layer, id, lon, lat, radius) {
    const row = (layer.rows || {})[id] || {}, fill = found => { out('row').innerHTML = `<h3>${text(layer.label)} ${text(id)}</h3>` +
      (V.cutout ? `<img alt="crater ${text(id)} from above, azimuthal equidistant" src="${V.cutout.replace('{lon}', lon).replace('{lat}', lat)
        .replace('{radius}', radius)}">` : '') + '<dl>' + Object.entries(found).map(([k, v]) => `<dt>${text(k)}</dt><dd>${text(v)}</dd>`).join('') + '</dl>'; };
    fill(row);
    if (V.row) fetch(V.row.replace('{layer}', layer.id).replace('{id}', id)).then(answer => answer.json()).then(fill);
  }

  function graticule() {
    if (grid) grid.remove();
    const [west, south, east, north] = [map.getBounds().getWest(), map.getBounds().getSouth(), map.getBounds().getEast(), map.getBounds().getNorth()];
    const step = [30, 10, 5, 2, 1, 0.5, 0.2, 0.1].find(s => (north - south) / s >= 4) || 0.1, drawn = [], style = { color: '#fff', weight: 0.7, opacity: 0.6,
      interactive: false };
    const label = (at, words) => drawn.push(L.marker(at, { interactive: false, keyboard: false,
      icon: L.divIcon({ className: 'degrees', html: words, iconSize: [0, 0] }) }));
    if (name !== 'cylindrical') {
      for (let lat = 80; lat >= 0; lat -= 10) drawn.push(L.polyline(Array.from({ length: 121 }, (_, i) => view.to(3 * i, name === 'north' ? lat : -lat)), style));
      for (let lon = -180; lon < 180; lon += 30) { const end = view.to(lon, 0); drawn.push(L.polyline([[0, 0], end], style)); label([end[0] / 2, end[1] / 2], `${lon}°`); }
    } else {
      for (let lon = Math.ceil(Math.max(west, V.bounds[0]) / step) * step; lon <= Math.min(east, V.bounds[2]); lon += step) {
        drawn.push(L.polyline([[V.bounds[1], lon], [V.bounds[3], lon]], style)); label([Math.max(south, V.bounds[1]), lon], `${+wrap(lon).toFixed(2)}°`); }
      for (let lat = Math.ceil(Math.max(south, V.bounds[1]) / step) * step; lat <= Math.min(north, V.bounds[3]); lat += step) {
        drawn.push(L.polyline([[lat, V.bounds[0]], [lat, V.bounds[2]]], style)); label([lat, Math.max(west, V.bounds[0])], `${+lat.toFixed(2)}°`); }
    }
    grid = L.layerGroup(drawn); if (out('graticule').checked) grid.addTo(map);
  }

  function scale() {
    const size = map.getSize(), ends = [[size.x / 2 - 50, size.y / 2], [size.x / 2 + 50, size.y / 2]].map(point => map.containerPointToLatLng(point));
    const metres = distance(...ends.map(at => view.from(at.lat, at.lng))), bar = round(metres);
    out('scale').style.width = `${100 * bar / metres}px`; out('scale').textContent = bar >= 1000 ? `${bar / 1000} km` : `${bar} m`;
  }

  function coordinates(at) {
    const [lon, lat] = view.from(at.lat, at.lng);
    if (Math.abs(lat) > 90) { out('where').textContent = ''; return; }
    const east = wrap(lon), whole = (east + 360) % 360;
    out('where').textContent = `${V.body}: ${number(lat)}° ${lat < 0 ? 'S' : 'N'}, ${east.toFixed(3)}° (−180…180), ${whole.toFixed(3)}° E (0…360), ${V.latitudes}`;
  }

  function measure(at) {
    if (!out('measure').checked) return;
    measured = measured || { points: [], line: L.polyline([], { color: '#ffb000', weight: 3 }).addTo(map) };
    measured.points.push(view.from(at.lat, at.lng)); measured.line.addLatLng(at);
    const total = measured.points.slice(1).reduce((sum, point, i) => sum + distance(measured.points[i], point), 0);
    out('length').textContent = `${(total / 1000).toFixed(2)} km along great circles`;
  }
  out('measure').addEventListener('change', () => { if (measured) measured.line.remove(); measured = null; out('length').textContent = ''; });
  out('graticule').addEventListener('change', graticule);

  V.layers.forEach(layer => {
    const row = document.createElement('li');
    row.innerHTML = `<label><input type="checkbox" ${layer.on ? 'checked' : ''}> ${text(layer.label)}</label>
      <input type="range" min="0" max="1" step="0.05" value="${layer.opacity}" aria-label="opacity of ${text(layer.label)}">${layer.legend || ''}`;
    const [box, range] = row.querySelectorAll('input');
    box.addEventListener('change', () => { layer.on = box.checked; const made = shown[layer.id]; if (made) box.checked ? made.addTo(map) : made.remove(); });
    range.addEventListener('input', () => { layer.opacity = Number(range.value); const made = shown[layer.id];
      if (made && made.setOpacity) made.setOpacity(layer.opacity); else if (made) made.eachLayer(one => one.setStyle({ opacity: layer.opacity })); });
    out('layers').append(row);
  });
  document.querySelectorAll('input[name=view]').forEach(one => one.addEventListener('change', () => open(one.value)));
  open('cylindrical');
  globalThis.viewer = { get map() { return map; }, views };
})();
