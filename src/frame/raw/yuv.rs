//! YUV of video cameras: ITU-R BT.601, luma from 16 (black, and what is below) to 235 (white), colour differences from 16 to 240 around 128.

/// 65536 times the matrix's parts: 255/219, and 255/224 times 1.402, 0.344136, 0.714136 and 1.772.
const LUMA: i32 = 76_309;
const RED_V: i32 = 104_597;
const GREEN_U: i32 = 25_675;
const GREEN_V: i32 = 53_279;
const BLUE_U: i32 = 132_201;

/// RGB of rows in which two pixels share four bytes: the first Y is at `y`, U at `u`, the second Y and V two bytes later.
pub(super) fn rgb_of_422<'a>(rows: impl Iterator<Item = &'a [u8]>, y: usize, u: usize) -> Vec<u8> {
    let of_row = |row: &'a [u8]| {
        let (pairs, _) = row.as_chunks::<4>();
        pairs.iter().flat_map(move |pair| {
            let colour = Colour::new(pair[u], pair[u + 2]);
            let [[a, b, c], [d, e, f]] = [colour.rgb(pair[y]), colour.rgb(pair[y + 2])];
            [a, b, c, d, e, f]
        })
    };
    rows.flat_map(of_row).collect()
}

/// RGB of rows of Y, each with the row of U and V that it shares with another.
pub(super) fn rgb_of_420<'a>(rows: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let of_row = |(luma, colours): (&'a [u8], &'a [u8])| {
        let (luma, colours) = (luma.as_chunks::<2>().0, colours.as_chunks::<2>().0);
        luma.iter().zip(colours).flat_map(|(&[left, right], &[u, v])| {
            let colour = Colour::new(u, v);
            let [[a, b, c], [d, e, f]] = [colour.rgb(left), colour.rgb(right)];
            [a, b, c, d, e, f]
        })
    };
    rows.flat_map(of_row).collect()
}

/// What a pair of colour differences adds to red, green and blue.
struct Colour([i32; 3]);

impl Colour {
    fn new(u: u8, v: u8) -> Self {
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        Self([RED_V * v, -GREEN_U * u - GREEN_V * v, BLUE_U * u])
    }

    fn rgb(&self, luma: u8) -> [u8; 3] {
        let luma = LUMA * (i32::from(luma) - 16).max(0) + (1 << 15);
        self.0.map(|colour| ((luma + colour) >> 16).clamp(0, 255) as u8)
    }
}
