//! EXIF orientations.

/// Turns packed pixels of `size` bytes upright. `orientation` is EXIF's number: where the first row and column of the file belong.
pub(super) fn upright(data: Vec<u8>, width: u32, height: u32, size: usize, orientation: u8) -> (Vec<u8>, u32, u32) {
    if !(2..=8).contains(&orientation) {
        return (data, width, height);
    }
    let (columns, rows) = (width as usize, height as usize);
    let across = orientation >= 5;
    let (out_columns, out_rows) = if across { (rows, columns) } else { (columns, rows) };
    let mut out = Vec::with_capacity(data.len());
    for y in 0..out_rows {
        for x in 0..out_columns {
            let (column, row) = match orientation {
                2 => (columns - 1 - x, y),
                3 => (columns - 1 - x, rows - 1 - y),
                4 => (x, rows - 1 - y),
                5 => (y, x),
                6 => (y, rows - 1 - x),
                7 => (columns - 1 - y, rows - 1 - x),
                _ => (columns - 1 - y, x),
            };
            let at = (row * columns + column) * size;
            out.extend_from_slice(&data[at..at + size]);
        }
    }
    (out, out_columns as u32, out_rows as u32)
}
