// What hnsw_speed.c does, with hnswlib: hnsw_peer FOLDER THREADS. Prints the same numbers.
#include <hnswlib/hnswlib.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr size_t queries_count = 1000, k = 10, ef = 50, m = 16, ef_construction = 100;

template <class T> std::vector<T> read_all(const std::string &path)
{
        std::ifstream file(path, std::ios::binary | std::ios::ate);
        std::vector<T> values(static_cast<size_t>(file.tellg()) / sizeof(T));
        file.seekg(0).read(reinterpret_cast<char *>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(T)));
        return values;
}

double memory(const std::string &name)
{
        std::ifstream file("/proc/self/status");
        for (std::string word; file >> word;)
                if (word == name) {
                        double kib;
                        file >> kib;
                        return kib * 1024;
                }
        return 0;
}

// The first element alone, as the bindings of Python do it.
void build(hnswlib::HierarchicalNSW<float> &index, const std::vector<float> &vectors, size_t dimension, unsigned threads)
{
        size_t count = vectors.size() / dimension;
        std::atomic<size_t> next(1);
        std::vector<std::thread> others;
        auto work = [&] {
                for (size_t i; (i = next++) < count;)
                        index.addPoint(&vectors[i * dimension], i);
        };
        index.addPoint(&vectors[0], 0);
        for (unsigned i = 1; i < threads; i++)
                others.emplace_back(work);
        work();
        for (auto &thread : others)
                thread.join();
}

double recall(hnswlib::HierarchicalNSW<float> &index, const std::vector<float> &queries, const std::vector<unsigned> &truth)
{
        size_t found = 0, dimension = queries.size() / queries_count;
        index.setEf(ef);
        for (size_t i = 0; i < queries_count; i++)
                for (auto results = index.searchKnn(&queries[i * dimension], k); !results.empty(); results.pop())
                        for (size_t j = 0; j < k; j++)
                                found += results.top().second == truth[i * k + j];
        return static_cast<double>(found) / (queries_count * k);
}

} // namespace

int main(int argc, char **argv)
{
        if (argc != 3)
                return 2;
        std::string folder = argv[1];
        auto vectors = read_all<float>(folder + "/vectors"), queries = read_all<float>(folder + "/queries");
        auto truth = read_all<unsigned>(folder + "/truth");
        size_t dimension = queries.size() / queries_count, count = vectors.size() / dimension;
        double before = memory("VmRSS:");
        auto used = std::clock();
        auto started = std::chrono::steady_clock::now();
        hnswlib::L2Space space(dimension);
        hnswlib::HierarchicalNSW<float> index(&space, count, m, ef_construction);
        build(index, vectors, dimension, static_cast<unsigned>(std::stoul(argv[2])));
        std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
        double processor = static_cast<double>(std::clock() - used) / CLOCKS_PER_SEC;
        double size = static_cast<double>(count) * static_cast<double>(index.size_data_per_element_ + 4);
        std::printf("%.0f %.4f %.2f %.0f\n", static_cast<double>(count) / seconds.count(), recall(index, queries, truth),
                    (memory("VmHWM:") - before) / size, static_cast<double>(count) / processor);
        return 0;
}
