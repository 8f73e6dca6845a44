// Where the values of libtorch's tensors on CPUs lie. glibc either gives a large
// block back to the system at once, which clears each page of the next one
// again, or keeps it in a heap that maps of many sizes fill with holes. Here a
// freed block waits for a tensor that fills at least half of it, and waiting ones
// are given back before the process would hold more than half as much again as
// its tensors needed at most.

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

#include <sys/mman.h>

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

namespace {

// Smaller ones are left to the allocator before, which is quick at them.
constexpr size_t smallest = 1 << 20;
// Blocks are whole numbers of pages.
constexpr size_t page = 1 << 12;
// So much may wait wherever half of what tensors needed is less: an evaluation
// needs little, and of many sizes in turn.
constexpr size_t may_wait = 256 << 20;

struct Block {
    void *address;
    size_t size;
};

// Null if the system has none.
void *map(size_t size) {
    void *address = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return address == MAP_FAILED ? nullptr : address;
}

void unmap(Block block) { munmap(block.address, block.size); }

class Memory final : public c10::Allocator {
  public:
    explicit Memory(c10::Allocator *before) : before(before) {}

    c10::DataPtr allocate(size_t size) override;

    void copy_data(void *to, const void *from, size_t size) const override {
        default_copy_data(to, from, size);
    }

    c10::DeleterFnPtr raw_deleter() const override { return release; }

    // Bytes in tensors, in waiting blocks, and the most that were in tensors.
    void told(int64_t *out) {
        const std::lock_guard<std::mutex> lock(mutex);
        out[0] = int64_t(used);
        out[1] = int64_t(waiting);
        out[2] = int64_t(peak);
    }

  private:
    static void release(void *address);
    void *take(size_t size);
    bool keep(void *address);
    void give_back(size_t bytes);

    c10::Allocator *before;
    std::mutex mutex;
    // Of the blocks in tensors, by address.
    std::unordered_map<void *, size_t> sizes;
    // From the one that waits longest.
    std::vector<Block> free;
    size_t used = 0, waiting = 0, peak = 0;
};

// Lives as long as the process: tensors may outlive everything else.
Memory *memory = nullptr;

c10::DataPtr Memory::allocate(size_t size) {
    void *address = size < smallest ? before->raw_allocate(size) : take((size + page - 1) / page * page);
    TORCH_CHECK_WITH(OutOfMemoryError, address != nullptr || size == 0, "not enough memory: a tensor needs ",
                     size, " bytes");
    return {address, address, release, c10::DeviceType::CPU};
}

void Memory::release(void *address) {
    if (!memory->keep(address)) {
        memory->before->raw_deallocate(address);
    }
}

// A block of `size` or up to twice as much; null if the system has none.
void *Memory::take(size_t size) {
    const std::lock_guard<std::mutex> lock(mutex);
    auto best = free.end();
    for (auto block = free.begin(); block != free.end(); ++block) {
        const bool fits = block->size >= size && block->size <= 2 * size;
        if (fits && (best == free.end() || block->size < best->size)) {
            best = block;
        }
    }
    Block block{nullptr, size};
    if (best != free.end()) {
        block = *best;
        free.erase(best);
        waiting -= block.size;
    } else {
        const size_t needed = std::max(peak, used + size), wanted = used + waiting + size;
        const size_t allowed = needed + std::max(needed / 2, may_wait);
        give_back(wanted > allowed ? wanted - allowed : 0);
        block.address = map(size);
        if (block.address == nullptr) {
            give_back(waiting);
            block.address = map(size);
        }
        if (block.address == nullptr) {
            return nullptr;
        }
    }
    sizes.emplace(block.address, block.size);
    used += block.size;
    peak = std::max(peak, used);
    return block.address;
}

// At least so many bytes of what waits, longest first, or all of it.
void Memory::give_back(size_t bytes) {
    size_t given = 0;
    auto block = free.begin();
    for (; block != free.end() && given < bytes; ++block) {
        given += block->size;
        unmap(*block);
    }
    free.erase(free.begin(), block);
    waiting -= given;
}

// False if it is no block of here.
bool Memory::keep(void *address) {
    if (reinterpret_cast<uintptr_t>(address) % page != 0) {
        return false;
    }
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = sizes.find(address);
    if (found == sizes.end()) {
        return false;
    }
    used -= found->second;
    waiting += found->second;
    free.push_back({address, found->second});
    sizes.erase(found);
    return true;
}

} // namespace

extern "C" {

// From now on; tensors of before are freed as they would have been.
void dygl_keep_memory(void) {
    static std::once_flag once;
    std::call_once(once, [] {
        memory = new Memory(c10::GetCPUAllocator());
        c10::SetCPUAllocator(memory, 100);
    });
}

// Three numbers of bytes, all zero before the first `dygl_keep_memory`.
void dygl_memory(int64_t *out) {
    std::fill(out, out + 3, 0);
    if (memory != nullptr) {
        memory->told(out);
    }
}

}
