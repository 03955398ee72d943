"""Image files in every format, and files that are no images."""

import io
import os
import struct
import zlib

import numpy as np
import PIL
import pytest
from paper import photo
from PIL import Image

from seqsum.data import image_files
from seqsum.inference import normalize, photos
from seqsum.runtime.errors import InputError


@pytest.fixture(scope="module")
def picture(bundled):
  """[160, 240] uint8, a dark digit on light paper."""
  digit = bundled.test.images[0, ..., 0]
  shown = photo(digit, np.random.default_rng(0), height=160, width=240)
  return (255 * shown).astype(np.uint8)


@pytest.fixture(scope="module")
def expected(picture):
  return normalize.frame(picture / np.float32(255)).astype(float)


def colour(picture):
  return Image.fromarray(np.stack([picture, picture, picture], -1))


def with_alpha(picture, mode):
  """Black ink on a transparent background."""
  image = Image.merge(
    "RGBA", [Image.new("L", picture.shape[::-1])] * 3 + [negative(picture)]
  )
  return image if mode == "RGBA" else image.quantize(64)


def negative(picture):
  return Image.fromarray(255 - picture)


KINDS = {
  "grey.png": Image.fromarray,
  "colour.png": colour,
  "photo.jpg": colour,
  "print.jpg": lambda x: colour(x).convert("CMYK"),
  "print.tif": lambda x: colour(x).convert("CMYK"),
  "deep.png": lambda x: Image.fromarray(x.astype(np.uint16) * 257),
  "deep.tif": lambda x: Image.fromarray(x.astype(np.uint16) * 257),
  "whole.tif": lambda x: Image.fromarray(x.astype(np.int32) * 3),
  "float.tif": lambda x: Image.fromarray(x / np.float32(255)),
  "palette.png": lambda x: colour(x).quantize(64),
  "alpha.png": lambda x: with_alpha(x, "RGBA"),
  "palette_alpha.png": lambda x: with_alpha(x, "P"),
  "still.gif": Image.fromarray,
  "still.webp": colour,
  "bitmap.bmp": colour,
  "one_bit.png": lambda x: Image.fromarray(x).convert("1", dither=0),
  "chalk.png": negative,
}


@pytest.mark.parametrize("name", KINDS)
def test_every_format_gives_the_same_frame(tmp_path, picture, expected, name):
  KINDS[name](picture).save(tmp_path / name)
  frame = photos.read_frame(tmp_path / name)
  assert frame.shape == (28, 28, 1)
  assert frame.dtype == np.uint8
  assert np.abs(frame - expected).mean() < 6


# EXIF orientation: the transposition that it undoes.
TURNED = {
  1: None,
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_90,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_270,
}
MODES = ("1", "L", "P", "LA", "RGB", "RGBA", "I;16", "I", "F")
PRINT = ("CMYK", "YCbCr", "LAB")
# Pillow 12 cannot read an uncompressed YCbCr TIFF that it wrote.
RAW = PRINT if int(PIL.__version__.partition(".")[0]) > 12 else ("CMYK", "LAB")
# Format: options of `save`, modes, maximum error of a pixel in 0..1.
HELD = {
  "TIFF": ({"compression": "raw"}, (*MODES, *RAW), 0),
  "TIFF, LZW": ({"compression": "tiff_lzw"}, (*MODES, *PRINT), 0),
  "TIFF, Deflate": ({"compression": "tiff_adobe_deflate"}, MODES, 0),
  "TIFF, PackBits": ({"compression": "packbits"}, MODES, 0),
  "TIFF, JPEG": ({"compression": "jpeg", "quality": 95}, ("L", "RGB"), 0.1),
  "PNG": ({}, MODES[:-2], 0),
  "JPEG": ({"quality": 95}, ("L", "RGB", "CMYK"), 0.1),
  "MPO": ({"quality": 95}, ("L", "RGB"), 0.1),
  "WEBP": ({"lossless": True, "exact": True}, ("L", "RGB", "RGBA"), 0),
  "AVIF": ({"quality": 95}, ("L", "RGB", "RGBA"), 0.1),
  "HEIF": ({"quality": 95}, ("L", "RGB", "RGBA"), 0.1),
}


def modes_of(mode):
  """A picture of [32, 48] pixels without any symmetry."""
  grey = np.full((32, 48), 224, np.uint8)
  grey[:16, :8], grey[16:24, 8:24] = 16, 96
  if mode in ("LA", "RGBA"):
    image = Image.fromarray(grey).convert(mode)
    alpha = np.full_like(grey, 255)
    alpha[24:, 40:] = 0
    image.putalpha(Image.fromarray(alpha))
    return image
  if mode in ("I;16", "I"):
    return Image.fromarray(grey.astype("u2" if mode == "I;16" else "i4") * 200)
  if mode == "F":
    return Image.fromarray(grey / np.float32(255))
  if mode == "LAB":
    return Image.frombytes("LAB", (48, 32), np.repeat(grey, 3).tobytes())
  if mode == "P":
    return Image.fromarray(grey).convert("RGB").quantize(8)
  return Image.fromarray(grey).convert(mode)


@pytest.mark.parametrize("name", HELD)
def test_the_exif_orientation_is_applied(tmp_path, name):
  """All eight orientations, in every mode of every format that has EXIF."""
  pytest.importorskip("pillow_heif")
  image_files._formats()  # HEIF is one of them
  options, modes, error = HELD[name]
  kind = name.partition(",")[0]
  path = tmp_path / "held"
  for mode in modes:
    upright = modes_of(mode)
    upright.save(path, kind, **options)
    expected = image_files.read_picture(path), image_files.read_colours(path)
    assert expected[0].shape == (32, 48)
    for orientation, turn in TURNED.items():
      exif = Image.Exif()
      exif[0x0112] = orientation
      lying = upright if turn is None else upright.transpose(turn)
      lying.save(path, kind, exif=exif.tobytes(), **options)
      for read, right in zip(
        (image_files.read_picture, image_files.read_colours),
        expected,
        strict=True,
      ):
        shown = read(path)
        where = (mode, orientation)
        assert shown.shape == right.shape, where
        assert np.abs(shown - right).max() <= error, where


def bomb(width, height):
  """A small PNG whose header has a huge size."""

  def chunk(kind, data):
    body = kind + data
    return (
      struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
    )

  header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
  return b"\x89PNG\r\n\x1a\n" + b"".join(
    [
      chunk(b"IHDR", header),
      chunk(b"IDAT", zlib.compress(bytes(1000))),
      chunk(b"IEND", b""),
    ]
  )


def odd(folder, picture):
  """Writes unusable files; returns name -> pattern of the error."""
  colour(picture).save(folder / "whole.jpg", quality=95)
  data = (folder / "whole.jpg").read_bytes()
  Image.fromarray(picture).save(folder / "whole.png")
  png = (folder / "whole.png").read_bytes()
  nan = picture.astype(np.float32)
  nan[3, 3] = np.nan
  Image.fromarray(nan).save(folder / "nan.tif")
  for name, pages in {
    "moving.gif": 2,
    "moving.webp": 3,
    "pages.tif": 2,
  }.items():
    first, *rest = [
      Image.fromarray(np.roll(picture, 9 * i)) for i in range(pages)
    ]
    first.save(folder / name, save_all=True, append_images=rest)
  Image.new("L", (90, 90), 200).save(folder / "blank.png")
  for name, content in {
    "cut.jpg": data[: len(data) // 2],
    "cut.png": png[: len(png) // 2],
    "header.png": png[:20],
    "zero.png": b"",
    "words.png": b"this is text\n",
    "page.pdf": b"%PDF-1.7\n",
    "program.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "bomb.png": bomb(60_000, 60_000),
    "large.png": bomb(10_000, 10_000),
    "unfilled.png": bomb(100, 100),
  }.items():
    (folder / name).write_bytes(content)
  (folder / "circle.png").symlink_to("circle.png")
  (folder / "empty").mkdir()
  return {
    "nan.tif": "inf or nan",
    "moving.gif": "2 pictures in one file",
    "moving.webp": "3 pictures in one file",
    "pages.tif": "2 pictures in one file",
    "blank.png": "only paper",
    "cut.jpg": "damaged or truncated",
    "cut.png": "damaged or truncated",
    "header.png": "not an image|damaged",
    "zero.png": "empty, zero bytes",
    "words.png": "not an image",
    "page.pdf": "not an image",
    "program.eps": "not an image",
    "bomb.png": "more than .* pixels",
    "large.png": "more than .* pixels",
    "unfilled.png": "damaged or truncated",
    "circle.png": "symbolic links",
    "none.png": "no such file",
    "no*.png": "no such file",
    "empty": "the folder contains no images",
  }


def test_unusable_files_are_refused_in_one_line(tmp_path, picture):
  for name, words in odd(tmp_path, picture).items():
    with pytest.raises(InputError, match=words) as caught:
      photos.read_images([tmp_path / "whole.png", tmp_path / name])
    line = str(caught.value)
    assert line.startswith(str(tmp_path / name)), line
    assert "\n" not in line


def test_folders_and_globs_are_in_natural_order(tmp_path, picture):
  for name in ("10.png", "9.PNG", "1.png", "b2.png", "b10.png"):
    Image.fromarray(picture).save(tmp_path / name)
  (tmp_path / "notes.txt").write_text("no image")
  (tmp_path / ".hidden.png").write_bytes(b"")
  (tmp_path / "[1].png").write_bytes(b"")
  found = image_files.find([tmp_path / "b*.png", tmp_path / "[1].png"])
  names = [path.rsplit("/", 1)[1] for path in found]
  assert names == ["b2.png", "b10.png", "[1].png"]
  (tmp_path / "[1].png").unlink()
  names = [path.rsplit("/", 1)[1] for path in image_files.find([tmp_path])]
  assert names == ["1.png", "9.PNG", "10.png", "b2.png", "b10.png"]


def save_set(folder, picture):
  """Writes 1.png, 2.png and files that are no pictures."""
  for name in ("1.png", "2.png"):
    Image.fromarray(picture).save(folder / name)
  for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._1.png", "Icon\r"):
    (folder / name).write_bytes(b"\xd0\xcf\x11\xe0\0")
  for name in ("notes.txt", "README", "targets.csv", "1.json", "empty"):
    (folder / name).write_text("" if name == "empty" else "no picture")
  (folder / "utf16.txt").write_text("no picture", encoding="utf-16")
  (folder / "@eaDir").mkdir()
  Image.fromarray(picture).save(folder / "@eaDir" / "1.png")
  (folder / "notes").mkdir()


def test_pictures_are_found_by_name_or_content(tmp_path, picture):
  save_set(tmp_path, picture)
  Image.fromarray(picture).save(tmp_path / "3", "PNG")
  colour(picture).save(tmp_path / "4.jpg_large", "JPEG")
  (tmp_path / "5.png").symlink_to(tmp_path / "1.png")
  names = [path.rsplit("/", 1)[1] for path in image_files.find([tmp_path])]
  assert names == ["1.png", "2.png", "3", "4.jpg_large", "5.png"]
  assert len(photos.read_images([tmp_path])) == 5
  assert len(photos.read_images(tmp_path)) == 5  # one path, not in a list
  assert len(photos.read_images(str(tmp_path))) == 5


def unread(name, picture):
  """The content of a picture in an unsupported format."""
  stream = io.BytesIO()
  if name.endswith((".tga", ".ico", ".xbm", ".eps")):
    image = Image.fromarray(picture)
    image = image.convert("1") if name.endswith(".xbm") else image
    image.save(stream, {".xbm": "XBM"}.get(name[-4:], name[-3:].upper()))
    return stream.getvalue()
  if name.endswith(".svg"):
    return b"<svg xmlns='http://www.w3.org/2000/svg'/>"
  return b"\0\1\2\3 no format that is known"


@pytest.mark.parametrize(
  "name", ["3.tga", "3.ico", "3.eps", "3.svg", "3.xbm", "3.cr2", "3", "3.mov"]
)
def test_an_unsupported_picture_is_named(tmp_path, picture, name):
  save_set(tmp_path, picture)
  (tmp_path / name).write_bytes(unread(name, picture))
  with pytest.raises(InputError) as caught:
    image_files.find([tmp_path])
  assert str(caught.value) == (
    f"{tmp_path}: 1 of 3 files cannot be read as pictures ('{name}'): convert "
    "them to PNG, move them away, or list the files to read"
  )


def test_unsupported_pictures_are_counted(tmp_path, picture):
  save_set(tmp_path, picture)
  for i in (12, 3, 4, 5):
    (tmp_path / f"{i}.tga").write_bytes(unread("3.tga", picture))
  with pytest.raises(InputError) as caught:
    photos.read_images([tmp_path])
  words = "4 of 6 files cannot be read as pictures ('3.tga', '4.tga', '5.tga' "
  assert f"{words}and 1 more)" in str(caught.value)


def test_pictures_in_a_subfolder_are_an_error(tmp_path, picture):
  save_set(tmp_path, picture)
  Image.fromarray(picture).save(tmp_path / "notes" / "3.png")
  with pytest.raises(InputError, match=r"1 of 3 files .* \('notes/'\)"):
    image_files.find([tmp_path])


def test_broken_links_and_pipes_are_named(tmp_path, picture):
  save_set(tmp_path, picture)
  (tmp_path / "3.png").symlink_to(tmp_path / "gone.png")
  with pytest.raises(InputError, match=r"3\.png: No such file"):
    photos.read_images([tmp_path])
  (tmp_path / "3.png").unlink()
  os.mkfifo(tmp_path / "3.png")
  with pytest.raises(InputError, match=r"3\.png: a pipe, not a file"):
    photos.read_images([tmp_path])
  (tmp_path / "3.png").rename(tmp_path / "3")
  with pytest.raises(InputError, match=r"1 of 3 files .* \('3'\)"):
    photos.read_images([tmp_path])


@pytest.mark.parametrize("name", ["3.HEIC", "3.heif", "3"])
def test_heic_is_read(tmp_path, picture, expected, name):
  pillow_heif = pytest.importorskip("pillow_heif")
  save_set(tmp_path, picture)
  heif = pillow_heif.from_pillow(colour(picture))
  heif.save(tmp_path / "3.heic", quality=90)
  (tmp_path / "3.heic").rename(tmp_path / name)
  frames = photos.read_images([tmp_path])
  assert len(frames) == 3
  assert np.abs(frames[2] - expected).mean() < 6


def test_heic_without_its_package_is_refused(tmp_path, picture, monkeypatch):
  save_set(tmp_path, picture)
  (tmp_path / "3.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
  formats = [name for name in image_files._formats() if name != "HEIF"]
  monkeypatch.setattr(image_files, "_formats", lambda: formats)
  remedy = r"pip install 'seqsum\[heif\]' reads HEIC"
  with pytest.raises(InputError, match=rf"1 of 3 .* \('3\.HEIC'\): {remedy}"):
    image_files.find([tmp_path])
  with pytest.raises(InputError, match=remedy):
    photos.read_images([tmp_path / "3.HEIC"])


@pytest.mark.parametrize("paths", [None, 3, [None], ["1.png", 3]])
def test_values_that_are_no_paths_are_refused(paths):
  with pytest.raises(InputError, match="expected a list of files, folders or"):
    photos.read_images(paths)
