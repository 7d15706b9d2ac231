//! Looking at what was sent: whether it is a picture, of which kind and size; and making it small.

use std::io::Cursor;

use bytes::Bytes;
use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb, RgbImage,
    codecs::jpeg::JpegEncoder, imageops,
};

use super::model::{ContentType, Keys, LONGEST};

/// Longest side in pixels.
const WIDEST: u32 = 10_000;
/// Most pixels: with four bytes each they are what one picture may take of the memory.
const PIXELS: u64 = 25_000_000;
/// Most memory of a decoder in bytes, its result included.
const MEMORY: u64 = 128 * 1024 * 1024;
/// Quality of the thumbnails, of 100.
const QUALITY: u8 = 82;

/// Why a file is not taken for a picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not of a kind that is known here.
    #[error("The file is no JPEG, PNG or WebP picture.")]
    NoPicture,
    /// Of another kind than announced.
    #[error("content_type: the file is {found}, {announced} was announced.")]
    OtherType {
        /// What it is.
        found: &'static str,
        /// What it was said to be.
        announced: &'static str,
    },
    /// Longer or shorter than announced.
    #[error("size: the file has {found} bytes, {announced} were announced.")]
    OtherSize {
        /// Its length in bytes.
        found: usize,
        /// The length announced.
        announced: i64,
    },
    /// More pixels than can be dealt with.
    #[error(
        "The picture has {width} x {height} pixels; at most {WIDEST} a side and {PIXELS} in all are taken."
    )]
    TooManyPixels {
        /// Width.
        width: u32,
        /// Height.
        height: u32,
    },
    /// The file breaks off or contradicts itself.
    #[error("The picture cannot be decoded.")]
    Broken,
}

impl Refused {
    /// The field of the announcement, or `file`.
    pub fn field(&self) -> &'static str {
        match self {
            Self::OtherType { .. } => "content_type",
            Self::OtherSize { .. } => "size",
            Self::NoPicture | Self::TooManyPixels { .. } | Self::Broken => "file",
        }
    }

    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoPicture => "IMAGE_NO_PICTURE",
            Self::OtherType { .. } => "IMAGE_TYPE_MISMATCH",
            Self::OtherSize { .. } => "IMAGE_SIZE_MISMATCH",
            Self::TooManyPixels { .. } => "IMAGE_TOO_MANY_PIXELS",
            Self::Broken => "IMAGE_BROKEN",
        }
    }
}

/// A file that is a picture.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Width and height in pixels, as it is shown.
    pub size: (u32, u32),
    /// Thumbnails as JPEG, one for each of [`Keys::SIZES`].
    pub thumbnails: Vec<Bytes>,
}

impl ContentType {
    fn of(format: ImageFormat) -> Option<Self> {
        match format {
            ImageFormat::Jpeg => Some(Self::Jpeg),
            ImageFormat::Png => Some(Self::Png),
            ImageFormat::WebP => Some(Self::Webp),
            _ => None,
        }
    }
}

impl Picture {
    /// Looks at a file. Takes processor time, and memory up to [`MEMORY`] and twice [`PIXELS`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(file: &[u8], announced: ContentType, bytes: i64) -> Result<Self, Refused> {
        if i64::try_from(file.len()) != Ok(bytes) || bytes > LONGEST {
            return Err(Refused::OtherSize {
                found: file.len(),
                announced: bytes,
            });
        }
        // What a file is stands in its first bytes, whatever its sender calls it.
        let format = image::guess_format(file).map_err(|_| Refused::NoPicture)?;
        let found = ContentType::of(format).ok_or(Refused::NoPicture)?;
        if found != announced {
            return Err(Refused::OtherType {
                found: found.word(),
                announced: announced.word(),
            });
        }
        let shown = decode(file, format)?;
        let size = (shown.width(), shown.height());
        let thumbnails: Result<Vec<Bytes>, Refused> = Keys::SIZES
            .iter()
            .map(|side| thumbnail(&shown, *side))
            .collect();
        Ok(Self {
            size,
            thumbnails: thumbnails?,
        })
    }
}

/// Decodes a picture and turns it the way its camera was held. Its size is known before any pixel is.
fn decode(file: &[u8], format: ImageFormat) -> Result<DynamicImage, Refused> {
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MEMORY);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|_| Refused::Broken)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if width > WIDEST || height > WIDEST || pixels > PIXELS || decoder.total_bytes() > MEMORY {
        return Err(Refused::TooManyPixels { width, height });
    }
    let orientation = decoder.orientation().ok();
    let mut shown = DynamicImage::from_decoder(decoder).map_err(|_| Refused::Broken)?;
    if let Some(orientation) = orientation {
        shown.apply_orientation(orientation);
    }
    Ok(shown)
}

/// The picture no larger than `side`, as JPEG on white.
fn thumbnail(picture: &DynamicImage, side: u32) -> Result<Bytes, Refused> {
    let small = if picture.width().max(picture.height()) > side {
        picture.thumbnail(side, side)
    } else {
        picture.clone()
    };
    let opaque = if small.color().has_alpha() {
        let mut white = DynamicImage::ImageRgb8(RgbImage::from_pixel(
            small.width(),
            small.height(),
            Rgb([255; 3]),
        ));
        imageops::overlay(&mut white, &small, 0, 0);
        white.into_rgb8()
    } else {
        small.into_rgb8()
    };
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, QUALITY)
        .encode_image(&opaque)
        .map_err(|_| Refused::Broken)?;
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use image::Rgba;

    use super::*;

    fn png(width: u32, height: u32, pixel: [u8; 4]) -> Vec<u8> {
        let mut out = Vec::new();
        image::RgbaImage::from_pixel(width, height, Rgba(pixel))
            .write_to(&mut Cursor::new(&mut out), ImageFormat::Png)
            .unwrap();
        out
    }

    fn read(file: &[u8], announced: ContentType) -> Result<Picture, Refused> {
        Picture::read(file, announced, i64::try_from(file.len()).unwrap())
    }

    /// The same file with another width and height in its header, and the header's checksum made right again.
    fn says_it_is(mut png: Vec<u8>, width: u32, height: u32) -> Vec<u8> {
        png[16..20].copy_from_slice(&width.to_be_bytes());
        png[20..24].copy_from_slice(&height.to_be_bytes());
        let crc = crc32(&png[12..29]);
        png[29..33].copy_from_slice(&crc.to_be_bytes());
        png
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
            })
        })
    }

    #[test]
    fn thumbnails_keep_the_shape_and_are_never_larger_than_the_picture() {
        let picture = read(&png(2048, 512, [10, 20, 30, 255]), ContentType::Png).unwrap();
        assert_eq!(picture.size, (2048, 512));
        let sizes: Vec<(u32, u32)> = picture
            .thumbnails
            .iter()
            .map(|t| image::load_from_memory_with_format(t, ImageFormat::Jpeg).unwrap())
            .map(|t| (t.width(), t.height()))
            .collect();
        assert_eq!(sizes, [(256, 64), (1024, 256)]);
        let small = read(&png(30, 20, [1, 2, 3, 255]), ContentType::Png).unwrap();
        let small = image::load_from_memory(&small.thumbnails[1]).unwrap();
        assert_eq!((small.width(), small.height()), (30, 20));
    }

    #[test]
    fn what_is_transparent_is_shown_on_white() {
        let picture = read(&png(8, 8, [0, 0, 0, 0]), ContentType::Png).unwrap();
        let shown = image::load_from_memory(&picture.thumbnails[0]).unwrap();
        assert!(
            shown
                .to_rgb8()
                .pixels()
                .all(|p| p.0.iter().all(|c| *c > 250))
        );
    }

    #[test]
    fn a_file_that_is_not_what_it_says_is_refused() {
        let good = png(10, 10, [9; 4]);
        let refused = |file: &[u8], as_what| read(file, as_what).unwrap_err().code();
        assert_eq!(refused(&good, ContentType::Jpeg), "IMAGE_TYPE_MISMATCH");
        assert_eq!(
            refused(b"GIF89a\x01\0\x01\0", ContentType::Png),
            "IMAGE_NO_PICTURE"
        );
        assert_eq!(refused(b"<svg/>", ContentType::Png), "IMAGE_NO_PICTURE");
        assert_eq!(refused(b"", ContentType::Png), "IMAGE_NO_PICTURE");
        assert_eq!(
            refused(&good[..good.len() / 2], ContentType::Png),
            "IMAGE_BROKEN"
        );
        assert_eq!(refused(&good[..8], ContentType::Png), "IMAGE_BROKEN");
        assert_eq!(
            Picture::read(&good, ContentType::Png, 11)
                .unwrap_err()
                .code(),
            "IMAGE_SIZE_MISMATCH"
        );
    }

    #[test]
    fn pixels_are_counted_before_they_are_decoded() {
        for (width, height) in [(60_000, 60_000), (10_001, 1), (9_000, 9_000)] {
            let bomb = says_it_is(png(4, 4, [0; 4]), width, height);
            assert_eq!(
                read(&bomb, ContentType::Png).unwrap_err(),
                Refused::TooManyPixels { width, height }
            );
        }
        // The header is taken at its word, and then the pixels are not there.
        let short = says_it_is(png(4, 4, [0; 4]), 3000, 3000);
        assert_eq!(read(&short, ContentType::Png).unwrap_err(), Refused::Broken);
    }
}
