#include "levity/io/file_stream.hpp"

#include "levity/base/assert.hpp"

namespace levity::inline v0 {

task<io_result<std::size_t>> file_reader::read(file_reader* self, std::span<std::byte> into) {
  LEVITY_ASSERT(!into.empty(), "a read needs room for at least one byte");
  const io_result<std::uint64_t> got = co_await self->file_->read_at(self->offset_, into);
  if (!got) co_return std::unexpected(got.error());
  if (*got == 0) co_return std::unexpected(io_error{io_failure::eof, 0, "file read"});
  self->offset_ += *got;
  co_return static_cast<std::size_t>(*got);
}

task<io_result<void>> file_writer::write(file_writer* self, byte_view bytes) {
  const io_result<std::uint64_t> written = co_await self->file_->write_at(self->offset_, bytes);
  if (!written) co_return std::unexpected(written.error());
  self->offset_ += *written;
  co_return io_result<void>{};
}

}  // namespace levity
